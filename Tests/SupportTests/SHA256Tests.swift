import Support
import Testing

/// The examples of FIPS 180-4 (NIST's "SHA256.pdf") and the digest of the empty text.
struct SHA256Tests {
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ])
  func knownAnswers(text: String, digest: String) {
    #expect(hexadecimalText(SHA256.digest(of: Array(text.utf8))) == digest)
  }

  @Test func updatesInPiecesGiveTheSameDigest() {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    for cut in [0, 1, 63, 64, 65, 999, 1000] {
      let hash = SHA256()
      hash.update(ByteSlice(Array(bytes[..<cut])))
      hash.update(ByteSlice(Array(bytes[cut...])))
      #expect(hash.finalize() == SHA256.digest(of: bytes))
    }
  }
}
