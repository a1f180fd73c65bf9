private import Adapters
private import Checkpoints
internal import ModelSources
internal import Models
private import Support
internal import Tensors

/// Describes a model, or a file that is not a model. Weights are read only to check them.
package struct InspectJob: Job {
  private let model: String
  private let reading: InputOptions
  private let listsTensors: Bool
  private let checks: Bool
  private let budget: Int?

  /// - Parameter budget: bytes of memory; the description then lists the forms of the model that
  ///   fit in them.
  package init(
    model: String, reading: InputOptions, listsTensors: Bool, checks: Bool, budget: Int? = nil
  ) {
    self.budget = budget
    self.model = model
    self.reading = reading
    self.listsTensors = listsTensors
    self.checks = checks
  }

  package func perform(_ events: @escaping EventSink) async throws -> InspectOutcome {
    do {
      return .model(try inspect(events))
    } catch {
      // With other models' components, the error may be about one of those, not about this file.
      // The forms that a budget asks for exist for models only.
      guard reading.composition.isEmpty, budget == nil, let found = otherContents(error) else {
        throw error
      }
      if checks, case .adapter = found {
        events(.stage(.checking(model)))
        try AdapterDescription.check(model) {
          events(.progress(done: $0, total: $1))
        }
      }
      return found
    }
  }

  private func inspect(_ events: EventSink) throws -> Inspection {
    let source = try ModelSource.reading(
      model, reading, completesTokenizers: false, changes: .described, events)
    let finding = try Inspection.Finding(source)
    // The forms need a complete model. That refusal comes before the check, which reads all weights.
    if budget != nil, case .incomplete(let problem) = finding { throw problem }
    let covered = checks ? try check(source, events) : nil
    var inspection = try Inspection(
      source: source, finding: finding, check: covered, listsTensors: listsTensors)
    if let budget, case .model(let bound) = finding {
      inspection.forms = try ModelForms(bound, budget: budget)
    }
    return inspection
  }

  /// The contents of a file that is not a model: adapters, or other tensors; `nil` when unknown.
  ///
  /// - Parameter error: why the file cannot be read as a model.
  private func otherContents(_ error: any Error) -> InspectOutcome? {
    switch error {
    case SingleFileError.adapter, LayoutError.notRecognized:
      return (try? AdapterDescription(at: model)).map {
        .adapter(
          AdapterInspection(
            $0,
            check: checks
              ? WeightCheck(checksums: Archives.checksums(of: $0.path), refusesNonfinite: true)
              : nil))
      }
    // The file holds a U-Net, and the error says how to read it.
    case SingleFileError.averageAlone: return nil
    case is SingleFileError, is BindingError:
      guard let archive = try? Archives.open(model) else { return nil }
      return .tensors(
        TensorInspection(
          path: model, kind: archive.kind, survey: TensorSurvey(archive.weights),
          problem: "\(error)",
          remedy: (error as? any RemediableError)?.remedy))
    default: return nil
    }
  }

  /// Checks the layout's own checksums and reads every tensor.
  private func check(_ source: ModelSource, _ events: EventSink) throws -> WeightCheck {
    events(.stage(.checking(model)))
    let reader = try Layouts.readers.reader(for: model)
    try reader.check(model) {
      events(.progress(done: $0, total: $1))
    }
    events(.stage(.checkingTensors(model)))
    let total = source.components.reduce(0) { $0 + $1.weights.byteCount }
    var done = 0
    for component in source.components {
      for name in component.weights.names {
        try Cancellation.check()
        done += try component.weights.tensor(name).byteCount
        events(.progress(done: done, total: total))
      }
    }
    return WeightCheck(
      checksums: reader.checksums(of: model), refusesNonfinite: !reading.allowsNonfinite)
  }
}

extension Inspection {
  /// The result of binding the model.
  enum Finding {
    case model(Model)
    /// A valid model that cannot be run: components are missing, or no family matches.
    case incomplete(BindingError)

    /// - Throws: ``BindingError`` when tensors do not match the configs.
    init(_ source: ModelSource) throws(BindingError) {
      do {
        self = .model(try Model.bind(source))
      } catch {
        switch error {
        case .missingComponents, .foreign, .unknownFamily: self = .incomplete(error)
        case .config, .tensors: throw error
        }
      }
    }
  }
}
