/// The shape of a tensor: its extents, outermost first, as in PyTorch. A scalar has no extents.
package struct Shape: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
  package let extents: [Int]

  /// The number of elements. The initializer checks that it does not overflow.
  package let count: Int

  /// - Precondition: no extent is negative, and the product fits in an `Int`. Use
  ///   ``init(checking:)`` for extents from a file.
  package init(_ extents: [Int]) {
    guard let shape = Shape(checking: extents) else {
      preconditionFailure("extents \(extents) are negative or overflow")
    }
    self = shape
  }

  /// `nil` when an extent is negative or the number of elements overflows.
  package init?(checking extents: [Int]) {
    var count = 1
    var isEmpty = false
    for extent in extents {
      if extent < 0 { return nil }
      if extent == 0 {
        isEmpty = true
        continue
      }
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      if overflow { return nil }
      count = product
    }
    self.extents = extents
    self.count = isEmpty ? 0 : count
  }

  package init(arrayLiteral extents: Int...) { self.init(extents) }

  package var rank: Int { extents.count }

  package subscript(axis: Int) -> Int { extents[axis] }

  /// The rows of the shape as a matrix of output channels by everything else. A vector has one row
  /// for each element.
  package var rows: Int { extents.first ?? 1 }

  /// The number of elements of one row; see ``rows``.
  package var rowLength: Int { rows == 0 ? 0 : count / rows }

  package var description: String { "[" + extents.map(String.init).joined(separator: ", ") + "]" }
}
