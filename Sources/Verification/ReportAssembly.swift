import Calibration
import ModelSources
import Models
import Sampling
import Support
import Tensors

/// The measurements of all models.
struct Measurements {
  let settings: VerificationSettings
  /// The settings of the calls that every model evaluated.
  let calls: CalibrationSettings
  /// Whether the calls were recorded before.
  let reusesCalls: Bool
  /// Whether calls that were recorded before belong to another model.
  let ignoresCalls: Bool
  let tensors: [VerificationReport.TensorResult]
  let absent: Int
  let trajectories: [Trajectory]
  /// The candidate, then the baselines.
  let models: [Measures]
  let order: [(component: String, name: String)]
  let sensitivities: Sensitivities?
  let command: String?
  let provenance: JSONObject
}

extension Verifier {
  /// Makes the report. Measurements come by model and are regrouped by step, image and block.
  func report(
    _ found: Measurements, reference: Subject, compared: [Subject]
  ) -> VerificationReport {
    let images = found.trajectories.enumerated().map { index, trajectory in
      VerificationReport.ImageResult(
        prompt: trajectory.request.prompt,
        negativePrompt: trajectory.request.negativePrompt ?? "", seed: trajectory.request.seed,
        reference: trajectory.image,
        results: found.models.map { model in
          guard model.deviations.indices.contains(index) else { return nil }
          let deviation = model.deviations[index]
          return VerificationReport.ImageResult.Result(
            image: deviation.image,
            comparison: ImageComparison(
              reference: trajectory.image, candidate: deviation.image),
            latentError: deviation.latents.last ?? 0, latentCosine: deviation.cosine)
        })
    }
    let blocks = found.order.map { component, name in
      VerificationReport.BlockResult(
        component: component, name: name,
        results: found.models.map { VerificationReport.Spread($0.errors(component, name)) })
    }
    let errors = found.models.map(\.evaluation.errors)
    let summary = VerificationReport.summary(of: 0, images: images, errors: errors)
    return VerificationReport(
      tool: tool, machine: machine, command: found.command, settings: found.settings,
      calls: VerificationReport.Calls(
        settings: found.calls, count: errors.first?.calls.count ?? 0,
        isOfCalibration: found.reusesCalls),
      reference: VerificationReport.Subject(reference, role: "reference"),
      compared: compared.enumerated().map { index, subject in
        VerificationReport.Subject(subject, role: index == 0 ? "candidate" : "baseline")
      },
      errors: errors,
      verdict: Verdict(
        guided: errors[0].spreads.guided,
        isRetrained: found.tensors.areRetrained(in: ComponentName.unet)),
      tensors: found.tensors, absentTensors: found.absent, blocks: blocks,
      steps: steps(found, errors), images: images, checks: thresholds.checks(summary),
      sensitivities: found.sensitivities,
      notes: notes(found, compared: compared, reference: reference),
      provenance: found.provenance)
  }

  /// The steps of the calls and of the images' runs, each once.
  private func steps(
    _ found: Measurements, _ errors: [CallErrors]
  ) -> [VerificationReport.StepResult] {
    let ofRuns = found.trajectories.first?.steps.map(\.place) ?? []
    let byPlace = errors.map { model in
      Dictionary(
        model.steps.map { (StepPlace(step: $0.step, timestep: $0.timestep), $0) }
      ) { first, _ in first }
    }
    let places = Set(ofRuns).union(byPlace[0].keys).sorted()
    return places.map { place in
      let index = ofRuns.firstIndex(of: place)
      return VerificationReport.StepResult(
        step: place.step, timestep: place.timestep,
        latents: found.models.map { model in
          index.flatMap { index in
            VerificationReport.Spread(model.deviations.map { $0.latents[index] })
          }
        }, errors: byPlace.map { $0[place] })
    }
  }

  private func notes(
    _ found: Measurements, compared: [Subject], reference: Subject
  ) -> [String] {
    var notes: [String] = []
    if compared[0].model.scheduler != reference.model.scheduler {
      notes.append(
        "The models have different scheduler configs; all images were generated with the "
          + "reference's.")
    }
    if found.absent > 0 {
      notes.append(
        "\(found.absent) tensors of the reference have no counterpart of the same shape in the "
          + "candidate.")
    }
    if found.reusesCalls {
      notes.append(
        "The errors are those on the calls of the calibration, for which the weights were rounded. "
          + "The images have other prompts.")
    }
    if found.ignoresCalls {
      notes.append(
        "The calls of the calibration are not used, because the reference predicts something else "
          + "for them.")
    }
    for subject in compared where subject.roundsToHalf {
      notes.append(
        "\(subject.name) is the reference with its weights, and the U-Net's input and predictions, "
          + "rounded to float16. It computes in float32; float16 arithmetic differs more.")
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
