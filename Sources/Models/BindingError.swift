internal import Support
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
  case unknownFamily(location: String, facts: String, nearest: String, nearestFacts: String)

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
    case .unknownFamily(let location, let facts, let nearest, let nearestFacts):
      return "\(location): no known model family has \(facts); the nearest family is \(nearest), "
        + "which has \(nearestFacts)"
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
      let hint = nearest(to: tensor, among: unexpected).map { " (did you mean '\(shown($0))'?)" }
      return "'\(tensor.name)' \(tensor.shape)" + (hint ?? "")
    }
      + lines(unexpected, "unexpected") {
        "'\(shown($0.name))' \(shown($0.shape.description))"
      }
      + lines(misshapen, "misshapen") {
        "'\($0.name)': found \(shown($0.found.description)), expected \($0.expected)"
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
  return nearestNames(
    to: tensor.name, among: pool.map(\.name), count: 1, within: tensor.name.utf8.count / 3
  ).first
}
