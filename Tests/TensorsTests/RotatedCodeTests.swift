import Support
import Tensors
import Testing

/// Int8 codes of rotated weights.
struct RotatedCodeTests {
  @Test(arguments: [(16, 16), (48, 16), (64, 64), (320, 64), (768, 256), (1280, 256), (8, nil)])
  func rowsHaveTheLargestGroupThatDividesThem(length: Int, size: Int?) {
    #expect(CodeFormat.rotationSize(for: length) == size)
  }

  /// The definition: the product with the Kronecker power, element by element.
  private func product(_ row: [Float], size: Int) -> [Float] {
    let base: [[Float]] = [[1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]]
    func entry(_ i: Int, _ j: Int) -> Float {
      var (i, j, size, value) = (i, j, size, Float(1))
      while size > 1 {
        value *= base[i % 4][j % 4] / 2
        (i, j, size) = (i / 4, j / 4, size / 4)
      }
      return value
    }
    return row.indices.map { column in
      let start = column / size * size
      return (0..<size).reduce(0) { $0 + row[start + $1] * entry($1, column - start) }
    }
  }

  @Test(arguments: [16, 48, 64, 256])
  func wideningRotatesBack(length: Int) throws {
    let size = try #require(CodeFormat.rotationSize(for: length))
    // Small integers and scales of 1 and 2, so that all sums are exact.
    let codes = (0..<2 * length).map { Int8($0 * 37 % 101 - 50) }
    let tensor = StoredTensor(
      shape: [2, length], encoding: .codes(.rotatedInt8),
      parts: [ByteSlice(codes), ByteSlice([1, 2] as [Float])])
    let rows = [codes[..<length].map(Float.init), codes[length...].map { 2 * Float($0) }]
    let expected = rows.flatMap { product($0, size: size) }
    #expect(tensor.floats() == expected)
    for columns in [0..<1, 1..<length, 7..<9, length - 1..<length, 3..<3] {
      var found = [Float](repeating: 0, count: 2 * columns.count)
      var span = found.mutableSpan
      tensor.widen(rows: 0..<2, columns: columns, into: &span)
      #expect(found == [0, 1].flatMap { row in columns.map { expected[row * length + $0] } })
    }
  }

  @Test func twoRotationsChangeNothing() throws {
    let numbers = (0..<192).map { Float($0 * 37 % 101 - 50) }
    let once = try #require(StoredTensor(shape: [3, 64], floats: numbers).rotated())
    #expect(once.floats() != numbers)
    #expect(once.rotated()?.floats() == numbers)
    #expect(StoredTensor(shape: [2, 3], floats: [1, 2, 3, 4, 5, 6]).rotated() == nil)
  }
}
