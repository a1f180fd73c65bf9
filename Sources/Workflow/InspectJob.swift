private import Adapters
private import Checkpoints
internal import ModelSources
internal import Models
internal import Tensors

/// Tells what a model is, without reading its weights unless it checks them; of a file that is none,
/// what it is instead.
package struct InspectJob: Job {
  private let model: String
  private let reading: InputOptions
  private let listsTensors: Bool
  private let checks: Bool

  package init(model: String, reading: InputOptions, listsTensors: Bool, checks: Bool) {
    self.model = model
    self.reading = reading
    self.listsTensors = listsTensors
    self.checks = checks
  }

  package func run(_ events: @escaping EventSink) async throws -> InspectOutcome {
    do {
      return .model(try inspect(events))
    } catch {
      // Of what is put together a part may be to blame, which its error names.
      guard reading.composition.isEmpty, let found = instead(error) else { throw error }
      if checks, case .adapter = found {
        events(.stage("checking \(model)"))
        try AdapterDescription.check(model) {
          events(.progress(done: $0, total: $1))
        }
      }
      return found
    }
  }

  private func inspect(_ events: EventSink) throws -> Inspection {
    let source = try ModelSource.reading(model, reading, completesTokenizers: false)
    let finding = try Inspection.Finding(source)
    if checks { try check(source, events) }
    return try Inspection(
      source: source, finding: finding, wasChecked: checks, listsTensors: listsTensors)
  }

  /// What stands there instead of a model: adapters, or a single file of other tensors.
  private func instead(_ error: any Error) -> InspectOutcome? {
    switch error {
    case SingleFileError.adapter, LayoutError.notRecognized:
      return (try? AdapterDescription(at: model)).map {
        .adapter(AdapterInspection($0, wasChecked: checks))
      }
    // A U-Net is there: the error says how to read it.
    case SingleFileError.averageAlone: return nil
    case is SingleFileError, is BindingError:
      guard let archive = try? Archives.open(model) else { return nil }
      return .tensors(
        TensorInspection(
          path: model, kind: archive.kind, survey: TensorSurvey(archive.weights),
          problem: "\(error)"))
    default: return nil
    }
  }

  /// What the layout can prove of itself, and every tensor.
  private func check(_ source: ModelSource, _ events: EventSink) throws {
    events(.stage("checking \(model)"))
    try Layouts.readers.reader(for: model).check(model) {
      events(.progress(done: $0, total: $1))
    }
    let total = source.components.reduce(0) { $0 + $1.weights.byteCount }
    var done = 0
    for component in source.components {
      for name in component.weights.names {
        try Task.checkCancellation()
        done += try component.weights.tensor(name).byteCount
        events(.progress(done: done, total: total))
      }
    }
  }
}

extension Inspection {
  /// What became of binding the model.
  enum Finding {
    case model(Model)
    /// Sound as far as it goes, but no model that can be run: parts are missing, or no family is
    /// made so.
    case incomplete(String)

    /// - Throws: ``BindingError`` when configs and tensors do not fit.
    init(_ source: ModelSource) throws(BindingError) {
      do {
        self = .model(try Model.bind(source))
      } catch {
        switch error {
        case .missingComponent, .unknownFamily: self = .incomplete(error.description)
        case .config, .tensors: throw error
        }
      }
    }
  }
}
