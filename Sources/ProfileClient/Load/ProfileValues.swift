/// The values of the ten attributes of a `profile` of a load.
enum ProfileValues {
    /// Numbers from this one on, each greater than the last by one.
    case following(Int)
    /// Numbers of one to nine digits, of lengths that have nothing in common.
    case mixed(UInt64)

    /// The value of the attribute of this number.
    subscript(attribute: Int) -> Int {
        switch self {
        case .following(let first): return first + attribute
        case .mixed(let seed):
            let number = seed &* 16 &+ UInt64(attribute) &+ 1
            let digits = Load.mix(number, below: 9)
            let least = (0 ..< digits).reduce(1) { value, _ in value * 10 }
            return least + Load.mix(~number, below: 9 * least)
        }
    }
}
