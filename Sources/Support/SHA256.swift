private import CCrypto

/// An incremental SHA-256 digest (FIPS 180-4).
///
/// OpenSSL's libcrypto computes it with the processor's SHA instructions. Compiling a cryptography
/// package for this one function took a third of a clean build.
package struct SHA256: ~Copyable {
  private let context: OpaquePointer

  package init() {
    guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
      preconditionFailure("libcrypto has no SHA-256")
    }
    self.context = context
  }

  deinit { EVP_MD_CTX_free(context) }

  private func update(_ bytes: RawSpan) {
    bytes.withUnsafeBytes { raw in
      let status = EVP_DigestUpdate(context, raw.baseAddress, raw.count)
      precondition(status == 1, "libcrypto failed to hash \(raw.count) bytes")
    }
  }

  package func update(_ bytes: ByteSlice) { update(bytes.bytes) }

  /// The digest's 32 bytes.
  package consuming func finalize() -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 32) { digest, count in
      let status = EVP_DigestFinal_ex(context, digest.baseAddress, nil)
      precondition(status == 1, "libcrypto failed to finish the digest")
      count = 32
    }
  }

  /// The digest of `bytes`.
  package static func digest(of bytes: [UInt8]) -> [UInt8] {
    let hash = SHA256()
    hash.update(bytes.span.bytes)
    return hash.finalize()
  }
}
