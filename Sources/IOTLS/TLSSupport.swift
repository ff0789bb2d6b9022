#if TLS
    import COpenSSL
#endif

/// Whether and how this program can encrypt.
package enum TLSSupport {
    #if TLS
        package static let isBuilt = true
        /// Its name and version, as reported by the loaded library, which may be newer than its
        /// headers; `nil`: there is none.
        package static var loadedVersion: String? {
            // SAFETY: a static text of the library, copied here.
            OpenSSL_version(OPENSSL_VERSION_STRING).map { "OpenSSL " + String(cString: $0) }
        }
    #else
        package static let isBuilt = false
        package static var loadedVersion: String? { nil }
    #endif
}
