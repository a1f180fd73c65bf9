/// A value in a component's config that is invalid or that Decant cannot run.
package struct ConfigError: Error, Equatable, CustomStringConvertible {
  /// The path of the config.
  package let location: String
  /// The field's name in the file.
  package let field: String
  /// The value, as JSON text.
  package let found: String
  /// The accepted values: a phrase after "expected".
  package let expected: String

  package init(location: String, field: String, found: String, expected: String) {
    self.location = location
    self.field = field
    self.found = found
    self.expected = expected
  }

  package var description: String {
    "\(location): '\(field)' is \(found), expected \(expected)"
  }
}
