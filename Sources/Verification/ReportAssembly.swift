internal import ModelSources
import Models
import Sampling
import Support
internal import Tensors

extension Verifier {
  /// Makes the report. Measurements come by model and are regrouped by step, image and block.
  func report(
    settings: VerificationSettings, reference: Subject, compared: [Subject],
    tensors: [VerificationReport.TensorResult], absent: Int, trajectories: [Trajectory],
    measures: [Measures], order: [(component: String, name: String)], provenance: JSONObject
  ) -> VerificationReport {
    let steps = trajectories[0].steps.enumerated().map { index, step in
      VerificationReport.StepResult(
        timestep: Double(step.timestep),
        latents: measures.compactMap { model in
          VerificationReport.Spread(model.deviations.map { $0.latents[index] })
        },
        predictions: measures.compactMap { model in
          VerificationReport.Spread(model.deviations.map { $0.predictions[index] })
        })
    }
    let images = trajectories.enumerated().map { index, trajectory in
      VerificationReport.ImageResult(
        prompt: trajectory.request.prompt,
        negativePrompt: trajectory.request.negativePrompt ?? "", seed: trajectory.request.seed,
        reference: trajectory.image,
        results: measures.map { model in
          let deviation = model.deviations[index]
          return VerificationReport.ImageResult.Result(
            image: deviation.image,
            comparison: ImageComparison(
              reference: trajectory.image, candidate: deviation.image),
            latentError: deviation.latents.last ?? 0)
        })
    }
    let blocks = order.map { component, name in
      VerificationReport.BlockResult(
        component: component, name: name,
        results: measures.map { VerificationReport.Spread($0.errors(component, name)) })
    }
    let summary = VerificationReport.summary(of: 0, images: images, steps: steps)
    return VerificationReport(
      tool: tool, machine: machine, settings: settings,
      reference: VerificationReport.Subject(reference, role: "reference"),
      compared: compared.enumerated().map { index, subject in
        VerificationReport.Subject(subject, role: index == 0 ? "candidate" : "baseline")
      },
      tensors: tensors, absentTensors: absent, blocks: blocks, steps: steps, images: images,
      checks: thresholds.checks(summary),
      notes: notes(
        candidate: compared[0], reference: reference, absent: absent),
      provenance: provenance)
  }

  private func notes(
    candidate: Subject, reference: Subject, absent: Int
  ) -> [String] {
    var notes: [String] = []
    if candidate.model.scheduler != reference.model.scheduler {
      notes.append(
        "The models have different scheduler configs; all images were generated with the "
          + "reference's.")
    }
    if absent > 0 {
      notes.append(
        "\(absent) tensors of the reference have no counterpart of the same shape in the "
          + "candidate.")
    }
    return notes
  }
}

extension VerificationReport.Subject {
  init(_ subject: Verifier.Subject, role: String) {
    name = subject.name
    self.role = role
    layout = subject.model.source.layout
    fileBytes = subject.fileBytes
    components = subject.model.components.map { component in
      var encodings: [String: Int] = [:]
      let entries = component.modules.tensors.compactMap { component.weights.entry($0.name) }
      for entry in entries { encodings[entry.encoding.name, default: 0] += entry.byteCount }
      return Component(
        name: component.name, parameters: component.modules.parameterCount,
        bytes: entries.reduce(0) { $0 + $1.byteCount },
        encodings: encodings.map { (name: $0.key, bytes: $0.value) }
          .sorted { ($1.bytes, $0.name) < ($0.bytes, $1.name) })
    }
  }
}
