import Tensors

/// An input of a component that has a wrong shape or value.
package struct InputError: Error, Equatable, CustomStringConvertible {
  /// The argument's name in diffusers: `sample`, `encoder_hidden_states`.
  package let input: String
  package let found: String
  package let expected: String

  package init(input: String, found: String, expected: String) {
    self.input = input
    self.found = found
    self.expected = expected
  }

  package var description: String { "input '\(input)' is \(found), expected \(expected)" }
}

/// Checks the extents of an input. A `nil` extent allows any number above 0.
func check(_ tensor: Tensor, _ input: String, _ extents: [(name: String, extent: Int?)])
  throws(InputError)
{
  let shape = tensor.shape
  let fits =
    shape.rank == extents.count
    && zip(shape.extents, extents).allSatisfy { found, expected in
      expected.extent.map { $0 == found } ?? (found > 0)
    }
  guard fits else {
    let names = extents.map { extent in
      extent.extent.map { "\(extent.name) \($0)" } ?? extent.name
    }
    throw InputError(
      input: input, found: shape.description,
      expected: "[" + names.joined(separator: ", ") + "]")
  }
}
