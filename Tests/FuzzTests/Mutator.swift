/// A reproducible sequence of random numbers (SplitMix64; Steele, Lea and Flood, 2014).
struct Randomness: RandomNumberGenerator {
  private var state: UInt64

  /// The sequence of one input of a reader.
  init(reader: String, number: Int) {
    state = reader.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    state ^= UInt64(bitPattern: Int64(number)) &* 0x9e37_79b9_7f4a_7c15
  }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func below(_ count: Int) -> Int { Int.random(in: 0..<max(1, count), using: &self) }

  mutating func element<Element>(of list: [Element]) -> Element { list[below(list.count)] }
}

/// Changes the bytes of a valid file at random.
struct Mutator {
  var random: Randomness
  /// Another valid file, whose end may replace that of the first.
  let other: [UInt8]
  /// The most bytes of a result.
  private static let limit = 4 << 20

  /// `bytes` after one to four changes.
  mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for _ in 0...random.below(4) { change(&bytes) }
    return Array(bytes.prefix(Self.limit))
  }

  private mutating func change(_ bytes: inout [UInt8]) {
    switch random.below(12) {
    case 0: flipBits(&bytes)
    case 1, 2: overwriteNumber(&bytes)
    case 3: bytes.removeSubrange(place(bytes)...)
    case 4: bytes.removeSubrange(range(bytes))
    case 5, 6: repeatRange(&bytes)
    case 7: insert(&bytes, random.element(of: Tokens.all))
    case 8, 9: replaceDigits(&bytes)
    case 10: replaceString(&bytes)
    default: splice(&bytes)
    }
  }

  /// An offset: half of the time in the first 4 kB, where headers are, sometimes near the end.
  private mutating func place(_ bytes: [UInt8]) -> Int {
    switch random.below(4) {
    case 0, 1: random.below(min(bytes.count, 4096))
    case 2: max(0, bytes.count - 1 - random.below(min(bytes.count, 512)))
    default: random.below(bytes.count)
    }
  }

  private mutating func range(_ bytes: [UInt8]) -> Range<Int> {
    let start = place(bytes)
    let length = random.below(random.below(2) == 0 ? 16 : 2000)
    return min(start, bytes.count)..<min(start + length, bytes.count)
  }

  private mutating func flipBits(_ bytes: inout [UInt8]) {
    if bytes.isEmpty { return }
    for _ in 0...random.below(8) { bytes[place(bytes)] ^= 1 << UInt8(random.below(8)) }
  }

  /// Overwrites a binary number, in either byte order.
  private mutating func overwriteNumber(_ bytes: inout [UInt8]) {
    let width = random.element(of: [1, 2, 4, 8])
    let start = place(bytes)
    guard start + width <= bytes.count else { return }
    let value = random.element(of: Tokens.numbers)
    let isLittle = random.below(4) > 0
    for index in 0..<width {
      let shift = 8 * (isLittle ? index : width - 1 - index)
      bytes[start + index] = UInt8(truncatingIfNeeded: value >> UInt64(shift))
    }
  }

  private mutating func repeatRange(_ bytes: inout [UInt8]) {
    let piece = Array(bytes[range(bytes)])
    let times = random.below(8) == 0 ? random.below(2000) : 1
    let most = max(1, (Self.limit - min(bytes.count, Self.limit)) / max(1, piece.count))
    let copies = [[UInt8]](repeating: piece, count: min(times, most))
    bytes.insert(contentsOf: copies.joined(), at: place(bytes))
  }

  private mutating func insert(_ bytes: inout [UInt8], _ token: [UInt8]) {
    bytes.insert(contentsOf: token, at: min(place(bytes), bytes.count))
  }

  /// Replaces a number in a text.
  private mutating func replaceDigits(_ bytes: inout [UInt8]) {
    let start = place(bytes)
    let isDigit: (UInt8) -> Bool = { (0x30...0x39).contains($0) }
    guard let first = bytes[min(start, bytes.count)...].firstIndex(where: isDigit) else { return }
    let end = bytes[first...].firstIndex { !isDigit($0) } ?? bytes.count
    bytes.replaceSubrange(first..<end, with: random.element(of: Tokens.digits))
  }

  /// Replaces a text between quotation marks, or what is between two of them.
  private mutating func replaceString(_ bytes: inout [UInt8]) {
    let quote = UInt8(ascii: "\"")
    let start = place(bytes)
    guard let first = bytes[min(start, bytes.count)...].firstIndex(of: quote),
      let end = bytes[(first + 1)...].firstIndex(of: quote)
    else { return }
    bytes.replaceSubrange(first + 1..<end, with: random.element(of: Tokens.all))
  }

  /// Replaces the end by that of another file.
  private mutating func splice(_ bytes: inout [UInt8]) {
    let from = place(bytes)
    bytes = Array(bytes.prefix(from)) + Array(other.dropFirst(place(other)))
  }
}
