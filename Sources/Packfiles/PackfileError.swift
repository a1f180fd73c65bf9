package import Support
internal import Tensors

/// Why a file is not the `.decant` file it should be, or cannot become one.
package struct PackfileError: Error, Equatable, CustomStringConvertible {
  /// What is wrong. Strings called `region` or `place` name a tensor, a file or a manifest's member.
  package enum Reason: Equatable, Sendable {
    // The frame.
    case noPackfile(firstBytes: [UInt8])
    case tooShort(bytes: Int)
    case damagedHeader
    case missingFooter(bytes: Int)
    case damagedFooter
    case unknownVersion(UInt32)
    case wrongLength(found: Int, expected: UInt64)
    case manifestOutOfPlace(offset: UInt64, length: UInt64)
    case manifestTooLong(bytes: UInt64)
    case damagedManifest
    // The manifest.
    case invalidJSON(JSONError)
    case invalid(place: String, found: String, expected: String)
    case duplicate(place: String, name: String)
    case unknownEncoding(place: String, name: String)
    case unknownCodec(Int)
    case misplaced(region: String, offset: Int, expected: Int)
    case outOfFile(region: String, offset: Int, length: Int, limit: Int)
    case wrongSize(region: String, found: Int, expected: Int)
    case expands(region: String, from: Int, to: Int)
    // The regions.
    case damaged(region: String)
    case damagedPadding(region: String)
    case damagedTable(region: String)
    case invalidTable(region: String, chunk: Int, found: String, expected: String)
    case damagedChunk(region: String, chunk: Int)
    case undecodable(region: String, chunk: Int, codec: String)
    // Requests.
    case variant(String)
    case averaged
    case unwritable(place: String, found: String, expected: String)
  }

  package let location: String
  package let reason: Reason

  package init(_ location: String, _ reason: Reason) {
    self.location = location
    self.reason = reason
  }

  package var description: String { "\(location): \(reason.sentence)" }
}

extension PackfileError.Reason {
  private static let remedy = "the file is damaged, get or make it again"
  private static let hostile = "the file was not made by Decant as it is, get or make it again"

  fileprivate var sentence: String {
    switch self {
    case .noPackfile(let bytes):
      (bytes.isEmpty ? "is empty, " : "begins with \(hexadecimalText(bytes, separator: " ")), ")
        + "\(hexadecimalText(Packfile.headerMagic, separator: " ")) is expected of a .decant file; "
        + "pass a .decant file, or get or make it again"
    case .tooShort(let bytes):
      "has \(bytes) bytes, a .decant file has at least "
        + "\(Packfile.headerSize + Packfile.footerSize); it was cut short, get or make it again"
    case .damagedHeader:
      "its first \(Packfile.headerSize) bytes (the header) do not agree with their checksum; "
        + Self.remedy
    case .missingFooter(let bytes):
      "ends after \(bytes) bytes without the footer of a .decant file; it was cut short or its end "
        + "is damaged, get or make it again"
    case .damagedFooter:
      "its last \(Packfile.footerSize) bytes (the footer) do not agree with their checksum; "
        + Self.remedy
    case .unknownVersion(let version):
      "is a .decant file of version \(version), this program reads version \(Packfile.version); "
        + "use a newer Decant"
    case .wrongLength(let found, let expected):
      "has \(found) bytes, its footer says \(expected); bytes were lost or added, get or make it "
        + "again"
    case .manifestOutOfPlace(let offset, let length):
      "its footer puts a manifest of \(length) bytes at offset \(offset), where it does not end at "
        + "the footer; \(Self.hostile)"
    case .manifestTooLong(let bytes):
      "its manifest has \(bytes) bytes, at most \(Packfile.manifestLimit) are allowed; "
        + "shorten the provenance or the parity record"
    case .damagedManifest:
      "its manifest does not agree with the SHA-256 in the footer; " + Self.remedy
    case .invalidJSON(let error):
      "its manifest is no valid JSON: \(error); \(Self.hostile)"
    case .invalid(let place, let found, let expected):
      "\(place) is \(found), \(expected) is expected; \(Self.hostile)"
    case .duplicate(let place, let name):
      "\(place) holds '\(name)' twice, names are expected to differ; \(Self.hostile)"
    case .unknownEncoding(let place, let name):
      "\(place) is encoded as \(name), which this version does not know; use a newer Decant"
    case .unknownCodec(let identifier):
      "uses codec \(identifier), this program knows \(Self.knownCodecs); use a newer Decant"
    case .misplaced(let region, let offset, let expected):
      "\(region) lies at offset \(offset), \(expected) is expected: regions follow each other; "
        + Self.hostile
    case .outOfFile(let region, let offset, let length, let limit):
      "\(region) has \(length) bytes at offset \(offset), regions are expected to end by offset "
        + "\(limit); \(Self.hostile)"
    case .wrongSize(let region, let found, let expected):
      "\(region) has \(found) bytes, \(expected) are expected; \(Self.hostile)"
    case .expands(let region, let from, let to):
      "\(region) claims to hold \(to) bytes in \(from), at most \(Packfile.expansionLimit) times "
        + "as many are allowed; \(Self.hostile)"
    case .damaged(let region):
      "\(region) does not agree with its checksum; \(Self.remedy)"
    case .damagedPadding(let region):
      "the bytes after \(region) are not zero, zeros are expected there; \(Self.remedy)"
    case .damagedTable(let region):
      "the chunk table of \(region) does not agree with its checksum; \(Self.remedy)"
    case .invalidTable(let region, let chunk, let found, let expected):
      "chunk \(chunk) of \(region) has \(found), \(expected) expected; \(Self.hostile)"
    case .damagedChunk(let region, let chunk):
      "chunk \(chunk) of \(region) does not agree with its checksum; \(Self.remedy)"
    case .undecodable(let region, let chunk, let codec):
      "chunk \(chunk) of \(region) is no valid \(codec) data of its size; \(Self.hostile)"
    case .averaged:
      "a .decant file holds one set of weights, --ema chooses between two of a single file; leave --ema "
        + "out"
    case .variant(let variant):
      "a .decant file holds one set of weights, variant '\(variant)' was asked for; ask for none"
    case .unwritable(let place, let found, let expected):
      "\(place) is \(found), a .decant file can hold \(expected); write another layout"
    }
  }

  private static var knownCodecs: String {
    Codecs.all.map { "\($0.identifier) (\($0.name))" }.joined(separator: ", ")
  }
}
