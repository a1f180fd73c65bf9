internal import ArgumentParser
private import Foundation
internal import Support
internal import Workflow

/// An image's size as `WIDTHxHEIGHT`, in pixels. Sides below 1 are refused.
extension ImageSize: ExpressibleByArgument {
  package init?(argument: String) {
    let parts = argument.lowercased().split(separator: "x", omittingEmptySubsequences: false)
    guard parts.count == 2, let width = Int(parts[0]), let height = Int(parts[1]), width > 0,
      height > 0
    else { return nil }
    self.init(width: width, height: height)
  }
}

/// One or more sizes, separated by commas.
struct ImageSizes: ExpressibleByArgument {
  let values: [ImageSize]

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    values = parts.compactMap { ImageSize(argument: String($0)) }
    if values.count < parts.count { return nil }
  }
}

/// A shard as `I/N`: the I-th of N parts, counted from 1.
extension Shard: ExpressibleByArgument {
  package init?(argument: String) {
    let parts = argument.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let index = Int(parts[0]), let count = Int(parts[1]),
      count > 0, (1...count).contains(index)
    else { return nil }
    self.init(index: index, of: count)
  }
}

extension Effort: ExpressibleByArgument {}

/// Measurements by name, separated by commas.
struct Measurements: ExpressibleByArgument {
  let values: Set<CalibrateJob.Measurement>

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    values = Set(parts.compactMap { CalibrateJob.Measurement(rawValue: String($0)) })
    if values.isEmpty || values.count < parts.count { return nil }
  }
}

/// An adapter as `FILE` or `FILE:SCALE`. The path may contain colons.
struct AdapterArgument: ExpressibleByArgument {
  let value: AdapterInput

  init(argument: String) {
    if let colon = argument.lastIndex(of: ":"),
      let scale = Double(argument[argument.index(after: colon)...])
    {
      value = AdapterInput(path: String(argument[..<colon]), scale: scale)
    } else {
      value = AdapterInput(path: argument)
    }
  }
}

/// A point of an image as `X,Y`, in pixels. Negative coordinates are refused.
struct PointArgument: ExpressibleByArgument {
  let x: Int
  let y: Int

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    guard parts.count == 2, let x = Int(parts[0]), let y = Int(parts[1]), x >= 0,
      y >= 0
    else { return nil }
    self.x = x
    self.y = y
  }
}

/// A number of bytes as `500MB`, `2GB`, `2G` or `1TB` (powers of ten), or `2GiB` (powers of two).
///
/// A number without a unit is one of bytes. Below a million it is refused, because a unit was
/// probably forgotten.
struct ByteSize {
  let bytes: Int

  /// As the object of "expected".
  static let expected =
    "a size with a unit, such as 5GB, 500MB or 2GiB, or a number of bytes from \(leastWithoutUnit)"

  private static let leastWithoutUnit = 1_000_000

  init(argument: String) throws {
    let text = argument.uppercased()
    let units = [
      ("KIB", 1 << 10), ("MIB", 1 << 20), ("GIB", 1 << 30), ("TIB", 1 << 40), ("KB", 1_000),
      ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000), ("K", 1_000),
      ("M", 1_000_000), ("G", 1_000_000_000), ("T", 1_000_000_000_000), ("", 1),
    ]
    guard let (unit, factor) = units.first(where: { text.hasSuffix($0.0) }),
      let number = Double(text.dropLast(unit.count).trimmingCharacters(in: .whitespaces)),
      number > 0,
      let bytes = Int(exactly: (number * Double(factor)).rounded()), bytes > 0,
      !unit.isEmpty || bytes >= Self.leastWithoutUnit
    else { throw ValidationError("expected \(Self.expected)") }
    self.bytes = bytes
  }
}

/// A share as `3%` or `3`, 0 to 100 per cent.
struct ShareArgument: ExpressibleByArgument {
  /// 0 to 1.
  let share: Double

  static let standard = "\(formatted(100 * standardKeptShare, digits: 2)) %"

  init?(argument: String) {
    let text = argument.hasSuffix("%") ? argument.dropLast() : argument[...]
    guard let value = Double(text), (0...100).contains(value) else { return nil }
    share = value / 100
  }
}

/// A percentage as `1%` or `0.5`, above 0 and at most 100.
struct PercentArgument: ExpressibleByArgument {
  /// From 0 to 1.
  let ratio: Double

  init?(argument: String) {
    let text = argument.hasSuffix("%") ? argument.dropLast() : argument[...]
    guard let number = Double(text), number > 0, number <= 100 else { return nil }
    ratio = number / 100
  }
}

/// A number of parameters as `1.3B`, `1300M`, `1.3e9` or `1300000000`.
struct ParameterCount: ExpressibleByArgument {
  let count: Int

  init?(argument: String) {
    let units: [(String, Double)] = [("K", 1e3), ("M", 1e6), ("B", 1e9), ("", 1)]
    let text = argument.uppercased()
    guard let (unit, factor) = units.first(where: { text.hasSuffix($0.0) }),
      let number = Double(text.dropLast(unit.count)),
      let count = Int(exactly: (number * factor).rounded()), count > 0
    else { return nil }
    self.count = count
  }
}

/// A number of bits for a weight, above 0 and at most 32.
struct BitsArgument: ExpressibleByArgument {
  let bits: Double

  init?(argument: String) {
    guard let number = Double(argument), number > 0, number <= 32 else { return nil }
    bits = number
  }
}

/// Several numbers of bytes, separated by commas: `400MB,500MB`.
struct ByteSizesArgument: ExpressibleByArgument {
  let bytes: [Int]

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    let sizes = parts.compactMap { try? ByteSize(argument: String($0)).bytes }
    guard sizes.count == parts.count else { return nil }
    bytes = sizes
  }
}

/// The seed of a random generator: a number, or `-1` for a random seed.
struct SeedArgument: ExpressibleByArgument, CustomStringConvertible {
  let value: UInt64
  /// Whether the value is random.
  let isRandom: Bool

  init(_ value: UInt64, isRandom: Bool = false) {
    self.value = value
    self.isRandom = isRandom
  }

  init?(argument: String) {
    if argument == "-1" {
      // At most 32 bits, so that other programs accept the seed.
      self.init(UInt64(UInt32.random(in: 0 ... .max)), isRandom: true)
    } else {
      guard let value = UInt64(argument) else { return nil }
      self.init(value)
    }
  }

  var description: String { "\(value)" }
  var defaultValueDescription: String { description }

  /// States a random seed, so that the user can repeat the result; empty for a given one.
  var fact: String { isRandom ? "random seed: \(value)" : "" }
}

/// A kind of arithmetic.
struct ComputeArgument: ExpressibleByArgument, CustomStringConvertible {
  static let f32 = ComputeArgument(value: .f32)

  let value: Compute

  private init(value: Compute) { self.value = value }

  init?(argument: String) {
    guard let value = Compute(name: argument) else { return nil }
    self.init(value: value)
  }

  static var allValueStrings: [String] { Compute.names }
  var description: String { value.name }
  var defaultValueDescription: String { value.name }
}

/// Refuses counts below 1.
func requirePositive(_ options: [(name: String, value: Int)]) throws {
  for (name, value) in options where value < 1 {
    throw ValidationError("\(name) takes 1 or more, not \(value).")
  }
}
