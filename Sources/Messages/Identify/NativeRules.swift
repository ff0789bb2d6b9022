import Profiles

/// The rules for native attributes: each says what is wrong, or nothing. Messages quote no value.
///
/// Input is valid UTF-8 without NUL: `WireCheck` has seen it.
enum NativeRules {
    static let emailCharactersMax = 254
    static let phoneDigitsMax = 15
    static let languageCharactersMax = 15

    static func error(_ native: NativeAttribute, _ text: UnsafeRawBufferPointer) -> String? {
        if text.isEmpty { return "empty" }
        return switch native {
        case .emailAddress: self.emailError(text)
        case .phoneNumber: self.phoneError(text)
        case .language: self.languageError(text)
        case .region:
            self.isRegion(text)
                ? nil : "not a region, two upper-case letters of ISO 3166-1 are allowed"
        case .timezone: self.timezoneError(text)
        }
    }

    static func emailError(_ text: UnsafeRawBufferPointer) -> String? {
        let traits = UTF8Rules.traits(text)
        if traits.scalars > Self.emailCharactersMax {
            return "\(traits.scalars) characters, at most \(Self.emailCharactersMax) are allowed"
        }
        let ats = text.count { $0 == UInt8(ascii: "@") }
        guard ats == 1, text.first != UInt8(ascii: "@"), text.last != UInt8(ascii: "@") else {
            return "not an e-mail address, one @ between two parts is needed"
        }
        if traits.hasWhiteSpace { return "holds a blank, none is allowed in an e-mail address" }
        return self.invisibleError(text)
    }

    /// An address with such a character looks like another one, and mail to it is lost.
    private static func invisibleError(_ text: UnsafeRawBufferPointer) -> String? {
        guard text.contains(where: { $0 < 0x20 || $0 >= 0x7F }),
            let scalar = InvisibleCharacters.first(in: text)
        else { return nil }
        let digits = String(scalar, radix: 16, uppercase: true)
        let codePoint = String(repeating: "0", count: max(0, 4 - digits.count)) + digits
        return "holds the invisible character U+\(codePoint), none is allowed in an e-mail address"
    }

    /// `^\+[1-9][0-9]{1,14}$`.
    static func phoneError(_ text: UnsafeRawBufferPointer) -> String? {
        let digits = text.dropFirst()
        let isNumber =
            text.first == UInt8(ascii: "+") && 2 ... Self.phoneDigitsMax ~= digits.count
            && digits.first != UInt8(ascii: "0")
            && digits.allSatisfy { UInt8(ascii: "0") ... UInt8(ascii: "9") ~= $0 }
        return isNumber ? nil : "not a phone number of E.164, + and 2 to 15 digits are allowed"
    }

    /// Subtags of letters and digits, the first one of 2 or 3 letters.
    private static func languageError(_ text: UnsafeRawBufferPointer) -> String? {
        let error =
            "not a language, ISO 639-1 or BCP 47 of at most "
            + "\(Self.languageCharactersMax) characters is allowed"
        guard text.count <= Self.languageCharactersMax else { return error }
        let subtags = text.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard let primary = subtags.first, 2 ... 3 ~= primary.count,
            primary.allSatisfy(Self.isLetter)
        else { return error }
        let isTag = subtags.dropFirst().allSatisfy {
            1 ... 8 ~= $0.count && $0.allSatisfy(Self.isAlphanumeric)
        }
        return isTag ? nil : error
    }

    private static func timezoneError(_ text: UnsafeRawBufferPointer) -> String? {
        TimeZoneNames.contains(text)
            ? nil
            : "not a time zone of the tz database (\(TimeZoneTable.version)), a name such as "
                + "Europe/Paris in this case of letters is needed"
    }

    private static func isRegion(_ text: UnsafeRawBufferPointer) -> Bool {
        guard text.count == 2 else { return false }
        for offset in stride(from: 0, to: Self.regions.utf8CodeUnitCount, by: 2)
        where Self.regions.utf8Start[offset] == text[0]
            && Self.regions.utf8Start[offset + 1] == text[1]
        {
            return true
        }
        return false
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        UInt8(ascii: "a") ... UInt8(ascii: "z") ~= byte | 0x20
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        Self.isLetter(byte) || UInt8(ascii: "0") ... UInt8(ascii: "9") ~= byte
    }

    /// The officially assigned codes of ISO 3166-1 alpha-2, and XK, which is in wide use.
    private static let regions: StaticString = """
        ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCI\
        CKCLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQ\
        GRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLS\
        LTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPG\
        PHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTK\
        TLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSXKYEYTZAZMZW
        """
}
