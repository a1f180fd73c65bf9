internal import ModelSources
internal import Models
internal import Quantization
internal import Support

/// The types and steps of a model's layers in a file, as `Formats/plan.md` describes it.
struct PlanFile {
  private let path: String
  /// The schemes of tensors, by component.
  private var schemes: [String: [String: ChosenScheme]] = [:]

  /// The most bytes of a plan: those of a hundred thousand layers.
  private static let byteLimit = 32 << 20

  /// - Throws: ``JobError`` for a file that is not a plan, or `FileError`.
  init(_ path: String) throws {
    self.path = path
    guard let bytes = try bytesToEnd(ofFileOrPipe: path, limit: Self.byteLimit) else {
      throw Self.refusal(path, "has more than \(formatted(bytes: Self.byteLimit))")
    }
    let value: JSONValue
    do { value = try JSONValue(parsing: String(fileText: bytes)) } catch {
      throw Self.refusal(path, "is not JSON: \(error)")
    }
    let plan = value.object?["plan"] ?? value.object?["budget"]?.object?["plan"]
    guard let layers = value.array ?? plan?.array else {
      throw Self.refusal(path, "has no array 'plan'")
    }
    for layer in layers { try add(layer) }
  }

  private mutating func add(_ layer: JSONValue) throws {
    guard let members = layer.object, let tensor = members["tensor"]?.string,
      let name = members["scheme"]?.string
    else { throw Self.refusal(path, "has a layer without 'tensor' or 'scheme'") }
    let component = members["component"]?.string ?? ComponentName.unet
    guard let scheme = Schemes.named(name) else {
      throw Self.refusal(
        path, "has the type '\(shown(name))' for '\(shown(tensor))', which is unknown")
    }
    var chosen = scheme
    if let step = members["step"], !step.isNull {
      guard let number = step.number, number > 0, number.isFinite,
        let base = SteppedScheme.bases.first(where: { $0.name == scheme.name })
      else {
        throw Self.refusal(
          path, "has the step \(step.text()) for '\(shown(tensor))' in \(scheme.name)")
      }
      chosen = SteppedScheme(base, step: number)
    }
    if schemes[component]?[tensor] != nil {
      throw Self.refusal(path, "has '\(shown(tensor))' twice")
    }
    schemes[component, default: [:]][tensor] = ChosenScheme(
      scheme: chosen, reason: "chosen by the plan")
  }

  /// The names of the components in the plan.
  var components: [String] { schemes.keys.sorted() }

  /// The schemes of the convolutions and linear layers, by the names of modules.
  ///
  /// - Throws: ``JobError`` where the plan has other tensors than the component.
  func chosen(for component: String, _ modules: [ModuleSpec]) throws -> [String: ChosenScheme] {
    let planned = schemes[component] ?? [:]
    let known = Set(modules.tensors.map(\.name))
    let unknown = planned.keys.filter { !known.contains($0) }.sorted()
    if !unknown.isEmpty {
      throw Self.refusal(path, "has \(shortlist(unknown)), which '\(component)' lacks")
    }
    let matrices = modules.filter(\.kind.isMatrix)
    let missing = matrices.filter { planned[$0.weight.name] == nil }.map(\.weight.name)
    if !missing.isEmpty {
      throw Self.refusal(path, "lacks \(shortlist(missing)) of '\(component)'")
    }
    return Dictionary(
      uniqueKeysWithValues: matrices.compactMap { module in
        planned[module.weight.name].map { (module.name, $0) }
      })
  }

  private static func refusal(_ path: String, _ fault: String) -> JobError {
    JobError("\(path): the plan \(fault)", remedy: .choose(.plan, purpose: "with another file"))
  }
}

extension QuantizationRequest {
  /// The request with the types of its plan file; the request itself where it has none.
  func readingPlan(for model: ModelSource) throws -> QuantizationRequest {
    guard let plan else { return self }
    let file = try PlanFile(plan)
    var request = self
    let components = try model.componentsWithModules()
    for name in file.components {
      guard let component = components.first(where: { $0.name == name }) else {
        throw JobError(
          "\(plan): the plan has the component '\(shown(name))', which the model lacks")
      }
      request.chosen[name] = try file.chosen(for: name, component.modules)
    }
    return request
  }
}
