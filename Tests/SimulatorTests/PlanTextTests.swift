import Simulator
import Testing

/// The text form of a plan's faults, which is what a person copies from a report.
@Suite struct PlanTextTests {
    @Test func everyFaultIsReadBackFromItsText() {
        for (index, fault) in Fault.examples.enumerated() {
            for node in 0 ..< 2 {
                let planned = PlannedFault(step: index * 100, node: node, fault)
                #expect(PlannedFault("\(planned)") == planned)
            }
        }
    }

    @Test func listOfAllFaultsIsReadBack() {
        let all = Fault.examples.enumerated().map { PlannedFault(step: $0, $1) }
        let text = all.map(\.description).joined(separator: ",")
        #expect(PlannedFault.list(text) == all)
        #expect(PlannedFault.list("") == [])
    }

    @Test(arguments: [
        "kill", "x:kill", "1:kil", "1:kill(1)", "1:diskFull(1)", "1:diskFull(1,2",
        "1:diskFull(1,a)",
        "-1:kill", "1:kill@", "1:kill@-1", "1:powerCut()",
    ])
    func textThatIsNoFaultIsRejected(text: String) {
        #expect(PlannedFault(text) == nil)
        #expect(PlannedFault.list("1:kill,\(text)") == nil)
    }
}
