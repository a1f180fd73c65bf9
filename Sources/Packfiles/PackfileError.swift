package import Support
internal import Tensors

/// Why a file is not a valid `.decant` file, or a model cannot be written as one.
package struct PackfileError: RemediableError, Equatable {
  /// The fault. `region` and `place` name a tensor, a file or a member of the manifest.
  package enum Reason: Equatable, Sendable {
    // Header and footer.
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
  package var remedy: Remedy? { reason.remedy }
}

extension PackfileError.Reason {
  fileprivate var sentence: String {
    switch self {
    case .noPackfile(let bytes):
      (bytes.isEmpty ? "is empty" : "begins with \(hexadecimalText(bytes, separator: " "))")
        + ", expected \(hexadecimalText(Packfile.headerMagic, separator: " ")) of a .decant file"
    case .tooShort(let bytes):
      "has \(bytes) bytes, expected at least \(Packfile.headerSize + Packfile.footerSize) of a "
        + ".decant file; it is truncated"
    case .damagedHeader:
      "its first \(Packfile.headerSize) bytes (the header) do not match their checksum; it is damaged"
    case .missingFooter(let bytes):
      "ends after \(bytes) bytes without the footer of a .decant file; it is truncated or its end is "
        + "damaged"
    case .damagedFooter:
      "its last \(Packfile.footerSize) bytes (the footer) do not match their checksum; it is damaged"
    case .unknownVersion(let version):
      "is a .decant file of version \(version), expected version \(Packfile.version)"
    case .wrongLength(let found, let expected):
      "has \(found) bytes, its footer says \(expected); bytes were lost or added"
    case .manifestOutOfPlace(let offset, let length):
      "its footer puts a manifest of \(length) bytes at offset \(offset), expected one that ends at "
        + "the footer; \(Self.invalid)"
    case .manifestTooLong(let bytes):
      "its manifest has \(bytes) bytes, expected at most \(Packfile.manifestLimit)"
    case .damagedManifest:
      "its manifest does not match the SHA-256 in the footer; it is damaged"
    case .invalidJSON(let error):
      "its manifest is not valid JSON: \(error); \(Self.invalid)"
    case .invalid(let place, let found, let expected):
      "\(place) is \(found), expected \(expected); \(Self.invalid)"
    case .duplicate(let place, let name):
      "\(place) holds '\(name)' twice, expected unique names; \(Self.invalid)"
    case .unknownEncoding(let place, let name):
      "\(place) has the unknown encoding \(name)"
    case .unknownCodec(let identifier):
      "uses codec \(identifier), expected \(Self.knownCodecs)"
    case .misplaced(let region, let offset, let expected):
      "\(region) begins at offset \(offset), expected \(expected), where the region before it ends; "
        + Self.invalid
    case .outOfFile(let region, let offset, let length, let limit):
      "\(region) has \(length) bytes at offset \(offset), expected an end by offset \(limit); "
        + Self.invalid
    case .wrongSize(let region, let found, let expected):
      "\(region) has \(found) bytes, expected \(expected); \(Self.invalid)"
    case .expands(let region, let from, let to):
      "\(region) decodes to \(to) bytes from \(from), expected at most "
        + "\(Packfile.expansionLimit) times as many; \(Self.invalid)"
    case .damaged(let region):
      "\(region) does not match its checksum; the file is damaged"
    case .damagedPadding(let region):
      "the bytes after \(region) are not zero; the file is damaged"
    case .damagedTable(let region):
      "the chunk table of \(region) does not match its checksum; the file is damaged"
    case .invalidTable(let region, let chunk, let found, let expected):
      "chunk \(chunk) of \(region) has \(found), expected \(expected); \(Self.invalid)"
    case .damagedChunk(let region, let chunk):
      "chunk \(chunk) of \(region) does not match its checksum; the file is damaged"
    case .undecodable(let region, let chunk, let codec):
      "chunk \(chunk) of \(region) is not valid \(codec) data of its size; \(Self.invalid)"
    case .averaged:
      "a .decant file holds one set of weights, without a moving average beside it"
    case .unwritable(let place, let found, let expected):
      "\(place) is \(found), expected \(expected) for a .decant file"
    }
  }

  private static let invalid = "Decant does not write such a file"

  private static let fetchingAgain: [Remedy] = [.downloadAgain, .act("create it again")]

  fileprivate var remedy: Remedy? {
    switch self {
    case .averaged: .leaveOut(.ema)
    case .unwritable: .act("write another format")
    case .unknownVersion, .unknownEncoding, .unknownCodec: .act("use a newer version of Decant")
    case .manifestTooLong: .act("shorten the provenance or the parity record")
    case .noPackfile: .either([.act("name a .decant file")] + Self.fetchingAgain)
    default: .either(Self.fetchingAgain)
    }
  }

  private static var knownCodecs: String {
    Codecs.all.map { "\($0.identifier) (\($0.name))" }.joined(separator: ", ")
  }
}
