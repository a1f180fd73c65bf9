import Checkpoints
import Support
import Tensors
import TestSupport
import Testing

/// Valid and invalid locations of tensors in storages.
struct TorchTensorTests {
  /// The message of the error for tensor 'a' in a storage of four numbers.
  private func refusal(
    offset: Int = 0, _ extents: [Int], _ strides: [Int], count: Int = 4, bytes: Int = 16,
    view: [UInt8]? = nil
  ) -> String {
    let tensor = Pickle.tensor(
      Pickle.storage(count: count, view: view), offset: offset, extents, strides)
    return torchRefusal(
      torchFile(
        Pickle.dictionary([("a", tensor)]), storages: [("0", [UInt8](repeating: 1, count: bytes))]))
  }

  static let big = 1 << 62

  @Test(arguments: [
    (
      0, [5], [1], "[5] from element 0 with strides [1] reaches to element 4, its storage '0' has 4"
    ),
    (
      1, [4], [1], "[4] from element 1 with strides [1] reaches to element 4, its storage '0' has 4"
    ),
    (
      4, [], [], "[] from element 4 with strides [] reaches to element 4, its storage '0' has 4"
    ),
    (
      0, [2, 2], [3, 1],
      "[2, 2] from element 0 with strides [3, 1] reaches to element 4, its storage '0' has 4"
    ),
    (
      0, [2], [big],
      "[2] from element 0 with strides [\(big)] reaches to element \(big), its storage '0' has 4"
    ),
    (0, [3], [big], "the strides overflow"),
    (0, [2, 2, 2], [big, big, big], "the strides overflow"),
    (0, [-1], [1], "the extents [-1] are negative or overflow"),
    (0, [big, big], [0, 0], "the extents [\(big), \(big)] are negative or overflow"),
    (0, [big], [0], "the extents [\(big)] are negative or overflow"),
    (-1, [1], [1], "offset -1 and strides [1], none may be negative"),
    (3, [4], [-1], "offset 3 and strides [-1], none may be negative"),
    (
      0, [1, 1], [1],
      "2 extents and 1 strides; as many of both are expected, and at most 64"
    ),
    (
      0, [Int](repeating: 1, count: 65), [Int](repeating: 1, count: 65),
      "65 extents and 65 strides; as many of both are expected, and at most 64"
    ),
    (
      0, [1 << 30], [0],
      "[1073741824] takes 4294967296 bytes, its storage only 16; a view that repeats numbers may take 268435456"
    ),
  ])
  func tensorsOutsideTheirStorageAreRefused(
    offset: Int, extents: [Int], strides: [Int], found: String
  ) {
    #expect(refusal(offset: offset, extents, strides) == "f: tensor 'a': " + found)
  }

  @Test func storagesOfAnotherLengthAreRefused() {
    for count in [5, 3, .max] {
      #expect(
        refusal([1], [1], count: count)
          == "f: storage '0': the pickle states \(count) elements of 4 bytes, its record has 16 bytes; the file is damaged"
      )
    }
  }

  @Test func theSizeOfViewsIsLimited() {
    // Nine views of 64 MiB each, of one number.
    let view = Pickle.tensor(Pickle.storage(count: 1), [1 << 24], [0])
    let names = (0..<9).map { "v\($0)" }
    let bytes = torchFile(
      Pickle.dictionary(names.map { ($0, view) }), storages: [("0", floatBytes([1]))])
    let limit = 4 * bytes.count + 268_435_456
    let text = message { _ = try TorchFile(ByteSlice(bytes), path: "f") }
    #expect(
      text
        == "f: tensor 'v4': with it the tensors take 335544320 bytes, more than the \(limit) that a file of this size may hold; it is made to exhaust disks"
    )
  }

  @Test func everyStrideIsGathered() throws {
    // All views of two axes of up to 3 in a storage of 12, against plain loops.
    let numbers = (0..<12).map(Float.init)
    var members: [(String, [UInt8])] = []
    var expected: [String: [Float]] = [:]
    for rows in 0...3 {
      for columns in 0...3 {
        for (down, right) in [(0, 0), (0, 1), (1, 0), (1, 1), (3, 1), (1, 3), (2, 2), (4, 1)] {
          let name = "\(rows).\(columns).\(down).\(right)"
          members.append(
            (
              name,
              Pickle.tensor(
                Pickle.storage(count: 12), offset: 1, [rows, columns], [down, right])
            ))
          expected[name] = (0..<rows).flatMap { row in
            (0..<columns).map { numbers[1 + row * down + $0 * right] }
          }
        }
      }
    }
    let bytes = torchFile(Pickle.dictionary(members), storages: [("0", floatBytes(numbers))])
    let file = try TorchFile(ByteSlice(bytes), path: "f")
    #expect(file.names.count == 128)
    for (name, values) in expected { #expect(try file.tensor(name).floats() == values, "\(name)") }
  }

  /// PyTorch before 0.4 wrote storages that are views of others.
  @Test func storagesThatAreViewsAreRead() throws {
    let view = Pickle.tuple([Pickle.text("1"), Pickle.int(2), Pickle.int(2)])
    let tensor = Pickle.tensor(Pickle.storage(count: 4, view: view), offset: 1, [1], [1])
    let bytes = oldTorchFile(
      Pickle.dictionary([("a", tensor)]), keys: [Pickle.text("0")],
      storages: [(4, floatBytes([1, 2, 3, 4]))])
    let file = try TorchFile(ByteSlice(bytes), path: "f")
    #expect(try file.tensor("a").floats() == [4])
    let beyond = Pickle.tuple([Pickle.text("1"), Pickle.int(.max), Pickle.int(2)])
    #expect(
      refusal(offset: 1, [1], [1], view: beyond)
        == "f: tensor 'a': the offset overflows")
  }

  @Test(arguments: [
    (
      Pickle.int(1),
      "the file holds an integer, expected a dictionary of tensors"
    ),
    (
      Pickle.call("my.models", "Net", []),
      "the file holds an object of 'my.models.Net', expected a dictionary of tensors"
    ),
    (Pickle.dictionary([("lr", Pickle.int(1))]), "no tensors; the file holds lr"),
  ])
  func filesWithoutTensorsAreRefused(pickle: [UInt8], found: String) {
    #expect(torchRefusal(torchFile(pickle)) == "f: " + found)
  }

  @Test func repeatedNamesAreRefused() {
    let tensor = Pickle.tensor(Pickle.storage(count: 1), [1], [1])
    let storages = [(key: "0", bytes: floatBytes([1]))]
    let text = "f: two tensors have the name 'a.b', expected one"
    #expect(
      torchRefusal(
        torchFile(Pickle.dictionary([("a.b", tensor), ("a.b", tensor)]), storages: storages))
        == text)
    #expect(
      torchRefusal(
        torchFile(
          Pickle.dictionary([("a", Pickle.dictionary([("b", tensor)])), ("a.b", tensor)]),
          storages: storages)) == text)
  }

  @Test func bigEndianFilesAreRefused() {
    let tensor = Pickle.tensor(Pickle.storage(count: 1), [1], [1])
    let file = zip([
      ZIPSample("x/data.pkl", Pickle.whole(Pickle.dictionary([("a", tensor)]))),
      ZIPSample("x/data/0", floatBytes([1])), ZIPSample("x/byteorder", Array("big".utf8)),
    ])
    #expect(
      torchRefusal(file)
        == "f: numbers are stored in the byte order 'big', expected 'little'"
    )
    let old = oldTorchFile(
      Pickle.dictionary([("a", tensor)]), keys: [Pickle.text("0")],
      storages: [(1, floatBytes([1]))], isLittle: false)
    #expect(torchRefusal(old).contains("stored in the byte order 'big', expected 'little'"))
  }
}
