import Tensors
import Testing

@Test func shapes() {
  #expect(Shape([2, 3]).count == 6)
  #expect(Shape(checking: [-1]) == nil)
}
