// Made by scripts/unicode_tables.py of Unicode 18.0.0; not to be edited.

/// Controls, formats and other default-ignorable code points: `first, last: 4 digits`.
enum InvisibleTable {
    static let ranges: StaticString = #"""
        0000000O001o002O002]002]00=?00=?00H000H500HL00HL00KM00KM00L?00L?00R@00RA00SR00SR015O01\#
        5P01Nd01Ne01P;01P?020;020?020Z020^021P021_035T035T0?h00?h?0?ko0?ko0?nP0?nP0?o`0?ok0A2m\#
        0A2m0A3=0A3=0C@`0C@o0KbP0KbS0M5c0M5j3P003Poo
        """#
}
