import Tensors
import Testing

struct ShapeTests {
  @Test(arguments: [
    ([], 1, 1, 1), ([3], 3, 3, 1), ([2, 3], 6, 2, 3), ([2, 3, 4, 5], 120, 2, 60),
    ([0, 5], 0, 0, 0), ([5, 0], 0, 5, 0), ([0], 0, 0, 0),
  ])
  func countsElementsAndRows(extents: [Int], count: Int, rows: Int, rowLength: Int) throws {
    let shape = try #require(Shape(checking: extents))
    #expect(shape.extents == extents)
    #expect(shape.rank == extents.count)
    #expect(shape.count == count)
    #expect(shape.rows == rows)
    #expect(shape.rowLength == rowLength)
  }

  @Test(arguments: [[-1], [3, -2], [Int.max, 2], [1 << 32, 1 << 31], [0, -1], [Int.max, 2, 0]])
  func refusesNegativeOrOverflowingExtents(extents: [Int]) {
    #expect(Shape(checking: extents) == nil)
  }

  @Test func acceptsTheLargestCount() {
    #expect(Shape(checking: [Int.max, 1])?.count == Int.max)
  }

  @Test func descriptionIsThatOfPyTorch() {
    #expect(Shape([2, 3]).description == "[2, 3]")
    #expect(Shape([]).description == "[]")
    #expect(([4, 5] as Shape)[1] == 5)
  }

  @Test func overflowingExtentsOfACallerTrap() async {
    await #expect(processExitsWith: .failure) { _ = Shape([Int.max, 2]) }
  }

  @Test func tensorsKeepTheirNumbersWhenReshaped() {
    let tensor = Tensor(shape: [2, 3], values: [1, 2, 3, 4, 5, 6]).reshaped([6])
    #expect(tensor == Tensor(shape: [6], values: [1, 2, 3, 4, 5, 6]))
    #expect(Tensor(zeros: [2, 2]).values == [0, 0, 0, 0])
  }

  @Test func wrongNumbersOfElementsTrap() async {
    await #expect(processExitsWith: .failure) { _ = Tensor(shape: [2, 2], values: [1, 2, 3]) }
  }
}
