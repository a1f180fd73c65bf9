import Packfiles
import Support
import Tensors
import TestSupport

/// A file whose manifest and chunks a test may change. It is written with valid digests, as an
/// attacker can do.
struct HostileFile {
  /// Everything before the manifest.
  var regions: [UInt8]
  var manifest: JSONValue

  /// A small model of the writer: tensor `a` of 100 f32, uncoded, at offset 64;
  /// tensor `b` of 2400 f16, coded in two chunks, at offset 512; a file of 4 bytes.
  init() throws {
    let model = Samples.model(
      [("a", Samples.noise([4, 25], .plain(.f32))), ("b", Samples.gaussian([2400], .f16))],
      files: [Samples.file("tokenizer/a.txt", "text")])
    (regions, manifest) = try withTemporaryFolder { folder in
      let reader = try written(model, in: folder)
      let bytes = try ByteSlice.mapping(folder + "/model.decant").array
      let length = reader.manifest.json.text().utf8.count
      return (Array(bytes[..<(bytes.count - 96 - length)]), reader.manifest.json)
    }
  }

  /// The file with valid header and footer.
  var bytes: ByteSlice { framing([UInt8](manifest.text().utf8)) }

  /// The file with a manifest of any bytes.
  func framing(_ text: [UInt8]) -> ByteSlice {
    ByteSlice(regions + text + Frame.footer(manifest: text, at: regions.count))
  }

  /// Changes the member at `path`; `nil` removes it.
  mutating func set(_ path: [Step], to value: JSONValue?) {
    manifest = manifest.setting(path[...], to: value) ?? .null
  }

  /// A chunk with any bytes and fields.
  struct Chunk {
    var bytes: [UInt8]
    /// The length in the table; `nil` means the correct one.
    var length: Int?
    var codec: UInt32 = 1
  }

  /// Replaces the chunks of tensor `b`, with a valid table and checksums, and removes the file
  /// after it.
  mutating func setChunks(_ chunks: [Chunk], codecs: [Int] = [0, 1]) {
    set(["codecs"], to: .array(codecs.map { .integer($0) }))
    var table: [UInt8] = []
    for chunk in chunks {
      let words = [
        UInt32(chunk.length ?? chunk.bytes.count), crc32(of: chunk.bytes), chunk.codec,
      ]
      for word in words {
        for shift in stride(from: 0, to: 32, by: 8) {
          table.append(UInt8(truncatingIfNeeded: word >> UInt32(shift)))
        }
      }
    }
    let region = chunks.flatMap(\.bytes) + table
    set(Self.partB + ["length"], to: .integer(region.count))
    set(Self.partB + ["table"], to: .string(hexadecimalText(crc32(of: table))))
    set(["files"], to: [])
    regions = Array(regions[..<512]) + region
    regions += [UInt8](repeating: 0, count: (64 - regions.count % 64) % 64)
  }

  enum Step: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, Sendable {
    case member(String)
    case element(Int)

    init(stringLiteral value: String) { self = .member(value) }
    init(integerLiteral value: Int) { self = .element(value) }
  }

  static let unet: [Step] = ["components", 0]
  static let a: [Step] = unet + ["tensors", 0]
  static let b: [Step] = unet + ["tensors", 1]
  static let partA: [Step] = a + ["parts", 0]
  static let partB: [Step] = b + ["parts", 0]
}

extension JSONValue {
  /// A copy in which the member at `path` is `value`, or absent.
  fileprivate func setting(_ path: ArraySlice<HostileFile.Step>, to value: JSONValue?) -> JSONValue?
  {
    guard let step = path.first else { return value }
    switch (step, self) {
    case (.member(let name), .object(var object)):
      object[name] = (object[name] ?? .null).setting(path.dropFirst(), to: value)
      return .object(object)
    case (.element(let index), .array(var array)):
      if let changed = array[index].setting(path.dropFirst(), to: value) {
        array[index] = changed
      } else {
        array.remove(at: index)
      }
      return .array(array)
    default: preconditionFailure("the sample has no member \(step)")
    }
  }

  /// The member at `path`.
  func at(_ path: [HostileFile.Step]) -> JSONValue {
    path.reduce(self) { value, step in
      switch step {
      case .member(let name): value.object?[name] ?? .null
      case .element(let index): value.array?[index] ?? .null
      }
    }
  }
}
