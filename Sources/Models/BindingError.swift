package import Tensors

/// Why a source is no model that Decant can work with.
package enum BindingError: Error, Equatable, CustomStringConvertible {
  /// A component that every model has is not there.
  case missingComponent(location: String, name: String, found: [String])
  /// A config holds what cannot be run.
  case config(ConfigError)
  /// Tensors are missing, unexpected, misshapen, or of a kind that is no weight: all of them.
  case tensors(location: String, [ComponentFaults])
  /// Configs are sound one by one, but no family is made of such components.
  case unknownFamily(location: String, facts: String, known: [String])

  package var description: String {
    switch self {
    case .missingComponent(let location, let name, let found):
      let others = found.isEmpty ? "nothing" : found.joined(separator: ", ")
      return "\(location): component '\(name)' is missing; found \(others)"
    case .config(let error):
      return error.description
    case .tensors(let location, let faults):
      let counts = faults.map { "\($0.component) \($0.counts)" }.joined(separator: "; ")
      let lines = faults.flatMap(\.lines).map { "\n  " + $0 }.joined()
      return "\(location): tensors do not fit the configs: \(counts)" + lines
    case .unknownFamily(let location, let facts, let known):
      return "\(location): no known model family has \(facts); known are "
        + known.joined(separator: ", ")
    }
  }
}

/// All tensors of one component that do not fit its config.
package struct ComponentFaults: Equatable, Sendable {
  package struct Misshapen: Equatable, Sendable {
    package let name: String
    package let found: Shape
    package let expected: Shape
  }

  package struct Unusable: Equatable, Sendable {
    package let name: String
    /// The encoding's name.
    package let encoding: String
  }

  package let component: String
  package var missing: [TensorSpec] = []
  package var unexpected: [TensorSpec] = []
  package var misshapen: [Misshapen] = []
  /// Tensors of the right shape whose elements cannot be widened to float32.
  package var unusable: [Unusable] = []

  package var isEmpty: Bool {
    missing.isEmpty && unexpected.isEmpty && misshapen.isEmpty && unusable.isEmpty
  }

  /// Faults of each kind that a message lists by name.
  static let listed = 6

  var counts: String {
    let counts = [
      (missing.count, "missing"), (unexpected.count, "unexpected"),
      (misshapen.count, "misshapen"), (unusable.count, "unusable"),
    ]
    return counts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
  }

  /// One line a fault, at most ``listed`` of each kind.
  var lines: [String] {
    func lines<Fault>(_ faults: [Fault], _ kind: String, _ line: (Fault) -> String) -> [String] {
      let rest = faults.count - Self.listed
      return faults.prefix(Self.listed).map { "\(component): \(kind) \(line($0))" }
        + (rest > 0 ? ["\(component): \(kind) and \(rest) more"] : [])
    }
    return lines(missing, "missing") { tensor in
      let hint = nearest(to: tensor, among: unexpected).map { " (did you mean '\($0)'?)" }
      return "'\(tensor.name)' \(tensor.shape)" + (hint ?? "")
    }
      + lines(unexpected, "unexpected") { "'\($0.name)' \($0.shape)" }
      + lines(misshapen, "misshapen") {
        "'\($0.name)': found \($0.found), expected \($0.expected)"
      }
      + lines(unusable, "unusable") {
        "'\($0.name)': \($0.encoding) numbers cannot be weights"
      }
  }
}

/// The name among `candidates` that `tensor` was perhaps meant by: few letters away, and of the
/// same shape where one is.
private func nearest(to tensor: TensorSpec, among candidates: [TensorSpec]) -> String? {
  let sameShape = candidates.filter { $0.shape == tensor.shape }
  // A few hundred comparisons a listed name keep the message quick, whatever the file holds.
  let pool = (sameShape.isEmpty ? candidates : sameShape).prefix(500)
  let distances = pool.map { ($0.name, editDistance($0.name, tensor.name)) }
  guard let best = distances.min(by: { $0.1 < $1.1 }), best.1 * 3 <= tensor.name.utf8.count else {
    return nil
  }
  return best.0
}

/// Levenshtein's distance in bytes: insertions, deletions and replacements from one name to another.
func editDistance(_ a: String, _ b: String) -> Int {
  // Names in a hostile file may be long; no hint is lost by looking at their first letters only.
  let a = a.utf8.prefix(200)
  let b = b.utf8.prefix(200)
  var row = [Int](0...b.count)
  for (i, x) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      let replaced = diagonal + (x == y ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
    }
  }
  return row[b.count]
}
