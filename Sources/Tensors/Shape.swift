/// The extents of a tensor, outermost first, as PyTorch counts them. A scalar has none.
package struct Shape: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
  package let extents: [Int]

  /// Number of elements; the product was checked when the shape was made.
  package let count: Int

  /// - Precondition: no extent is negative and the product fits an `Int`. For extents that come
  ///   from a file use ``init(checking:)``.
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

  /// The shape as a matrix: output channels by everything else. A vector is one row per element.
  package var rows: Int { extents.first ?? 1 }

  /// Elements of one row of ``rows``.
  package var rowLength: Int { rows == 0 ? 0 : count / rows }

  package var description: String { "[" + extents.map(String.init).joined(separator: ", ") + "]" }
}
