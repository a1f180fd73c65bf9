/// A value of a component's config that Decant cannot run, with what it could.
package struct ConfigError: Error, Equatable, CustomStringConvertible {
  /// The config's file.
  package let location: String
  /// The field, by the name that it has in the file.
  package let field: String
  /// What stands there, as JSON.
  package let found: String
  /// What would be accepted: a phrase that follows "expected".
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
