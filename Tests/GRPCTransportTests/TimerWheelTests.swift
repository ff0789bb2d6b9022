import IOSimulation
import Testing

@testable import GRPCTransport

@Suite struct TimerWheelTests {
    @Test func timersFireInTimeAndOnce() {
        var wheel = TimerWheel(nowNanoseconds: 0)
        var random = SeededRandom(seed: 3)
        let timers = (0 ..< 500).map { _ in Timer() }
        // Some further away than one turn of the wheel.
        let due = timers.map { _ in UInt64(random.below(10_000)) * 1_000_000 }
        for (timer, time) in zip(timers, due) { wheel.schedule(timer, atNanoseconds: time) }
        for index in stride(from: 0, to: 500, by: 7) { wheel.cancel(timers[index]) }
        var fired: [ObjectIdentifier: UInt64] = [:]
        var now: UInt64 = 0
        while now <= 10_100_000_000 {
            while let timer = wheel.popDue(nowNanoseconds: now) {
                #expect(fired[ObjectIdentifier(timer)] == nil)
                fired[ObjectIdentifier(timer)] = now
            }
            now += UInt64(1 + random.below(30)) * 1_000_000
        }
        #expect(wheel.count == 0)
        for (index, timer) in timers.enumerated() {
            let time = fired[ObjectIdentifier(timer)]
            #expect((time == nil) == (index % 7 == 0))
            guard let time else { continue }
            #expect(time >= due[index])
            #expect(time - due[index] <= 30_000_000 + 2 * TimerWheel.slotNanoseconds)
        }
    }

    @Test func aLongSleepMissesNothing() {
        var wheel = TimerWheel(nowNanoseconds: 0)
        let timers = (0 ..< 50).map { _ in Timer() }
        for (index, timer) in timers.enumerated() {
            wheel.schedule(timer, atNanoseconds: UInt64(index) * 500_000_000)
        }
        var count = 0
        while wheel.popDue(nowNanoseconds: 100_000_000_000) != nil { count += 1 }
        #expect(count == 50)
    }

    @Test func movingATimerKeepsOne() {
        var wheel = TimerWheel(nowNanoseconds: 0)
        let timer = Timer()
        for time in [5, 9, 2, 7] as [UInt64] {
            wheel.schedule(timer, atNanoseconds: time * 1_000_000_000)
        }
        #expect(wheel.count == 1)
        let early = wheel.popDue(nowNanoseconds: 6_000_000_000)
        #expect(early == nil)
        let late = wheel.popDue(nowNanoseconds: 8_000_000_000)
        #expect(late === timer)
        #expect(wheel.count == 0)
    }
}
