package import Sampling
package import Support
package import Tensors
package import Workflow

/// What generates images with one model. A ``ModelSession`` does.
package protocol ImageGenerator: Sendable {
  /// Generates the images of each prompt; see ``ModelSession``.
  func generate(
    _ request: GenerateRequest, reportsLatents: Bool, _ events: @escaping EventSink
  ) async throws -> [Generation]

  /// A small picture of unfinished latents.
  func preview(of latents: Tensor) -> Image?

  /// Releases the memory of the model.
  func unload() async
}

extension ModelSession: ImageGenerator {}

/// A model that the server offers. Requests choose it by its name; no path comes from a request.
package struct StudioModel: Sendable {
  /// Different from the names of the other models.
  package let name: String
  let facts: ModelFacts
  /// The description of the model, as `inspect` gives it.
  let description: JSONValue
  let generator: any ImageGenerator

  package init(
    name: String, facts: ModelFacts, description: JSONValue, generator: any ImageGenerator
  ) {
    self.name = name
    self.facts = facts
    self.description = description
    self.generator = generator
  }

  /// Reads the facts of a model, without its weights.
  ///
  /// - Parameter names: the names of the other models. A model with a name among them gets a number.
  /// - Throws: an error of the model.
  package init(
    _ session: ModelSession, besides names: [String], _ events: @escaping EventSink
  ) async throws {
    facts = try await session.facts(events)
    // A file's path says where it lies, which is nobody's business who may use the model.
    var object = try await session.inspect(listsTensors: true, events).json.object ?? [:]
    object["path"] = .string(facts.name)
    object["verification"] = session.verification.map { .object($0) }
    description = .object(object)
    generator = session
    var name = facts.name
    var number = 2
    while names.contains(name) {
      name = "\(facts.name) (\(number))"
      number += 1
    }
    self.name = name
  }

  var json: JSONValue {
    [
      "name": .string(name), "family": .string(facts.family),
      "family_title": .string(facts.familyTitle), "width": .integer(facts.size.width),
      "height": .integer(facts.size.height), "side_factor": .integer(facts.sideFactor),
      "steps": .integer(facts.steps), "guidance_scale": .number(facts.guidanceScale),
      "scheduler": facts.scheduler.map { .string($0) } ?? .null,
      "unet_parameters": .integer(facts.parameters),
      "file_bytes": facts.fileBytes.map { .integer($0) } ?? .null,
    ]
  }
}
