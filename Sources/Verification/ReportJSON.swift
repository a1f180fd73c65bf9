internal import Calibration
package import Support
internal import Tensors

/// A JSON number, or null for `nil`, infinity and NaN. Where a ratio is infinite because nothing
/// differs, the object's `identical` is true.
func finite(_ value: Double?) -> JSONValue {
  guard let value, value.isFinite else { return .null }
  return .number(value)
}

extension VerificationReport {
  /// The contents of `report.json`, which `Formats/report.md` specifies.
  package var json: JSONObject {
    [
      "format": "decant-verification",
      "version": 2,
      "tool": .string(tool),
      "machine": .string(machine),
      "command": command.map { .string($0) } ?? .null,
      "verdict": .string(verdict.rawValue),
      "errors": errors[0].json,
      "met": isMet.map { .bool($0) } ?? .null,
      "thresholds": .array(checks.map(\.json)),
      "settings": settings.json,
      "calls": calls.json,
      "reference": reference.json,
      "compared": .array(
        compared.enumerated().map { index, subject in
          var object = subject.json.object ?? JSONObject()
          object["errors"] = errors[index].json
          object["sizes"] = .array(
            errors[index].sizes.compactMap { size in
              errors[index].of(size).map {
                [
                  "width": .integer(size.width), "height": .integer(size.height),
                  "calls": .integer($0.calls.count), "errors": $0.json,
                ]
              }
            })
          object["summary"] = summary(of: index).json
          return .object(object)
        }),
      "pictures": .array(images.map(\.json)),
      "steps": .array(
        steps.map { step in
          [
            "step": .integer(step.step + 1),
            "timestep": .number(step.timestep),
            "latent_error": .array(step.latents.map { $0?.json ?? .null }),
            "prediction_error": .array(step.errors.map { $0?.guided.json ?? .null }),
            "errors": .array(step.errors.map { $0?.pooled.json(inPercent) ?? .null }),
          ]
        }),
      "blocks": .array(
        blocks.map { block in
          [
            "component": .string(block.component),
            "block": .string(block.name),
            "error": .array(block.results.map { $0?.json ?? .null }),
          ]
        }),
      "tensors": .array(tensors.map(\.json)),
      "absent_tensors": .integer(absentTensors),
      "sensitivities": sensitivities?.json ?? .null,
      "notes": .strings(notes),
      "provenance": .object(provenance),
    ]
  }
}

/// A relative error in per cent.
private func inPercent(_ error: Double) -> JSONValue { finite(error * 100) }

extension Predictions {
  fileprivate func json(_ value: (Value) -> JSONValue) -> JSONValue {
    [
      "conditional": value(conditional),
      "unconditional": unconditional.map(value) ?? .null,
      "guided": value(guided),
    ]
  }
}

extension CallErrors {
  /// Mean, median and worst over steps, in per cent.
  package var json: JSONValue {
    spreads.json {
      [
        "mean": inPercent($0.mean), "median": inPercent($0.median), "worst": inPercent($0.worst),
      ]
    }
  }
}

extension VerificationReport.Calls {
  fileprivate var json: JSONValue {
    .object(
      JSONObject(
        [
          ("count", .integer(count)),
          ("of", .string(isOfCalibration ? "calibration" : "verification")),
        ] + settings.json.members.map { ($0.key, $0.value) }))
  }
}

extension Sensitivities {
  fileprivate var json: JSONValue {
    .array(
      zip(units, values).map { unit, value in
        [
          "unit": .string(unit.name), "weights": .integer(unit.weightCount),
          "sensitivity": finite(value),
        ]
      })
  }
}

extension VerificationReport.Subject {
  var json: JSONValue {
    [
      "name": .string(name),
      "role": .string(role),
      "layout": .string(layout),
      "parameters": .integer(parameters),
      "weight_bytes": .integer(bytes),
      "file_bytes": fileBytes.map { .integer($0) } ?? .null,
      "components": .array(
        components.map { component in
          [
            "name": .string(component.name),
            "parameters": .integer(component.parameters),
            "bytes": .integer(component.bytes),
            "encodings": .object(
              JSONObject(component.encodings.map { ($0.name, .integer($0.bytes)) })),
          ]
        }),
    ]
  }
}

extension VerificationReport.Spread {
  var json: JSONValue { ["mean": finite(mean), "worst": finite(worst)] }
}

extension VerificationReport.Summary {
  package var json: JSONValue {
    [
      "least_psnr_db": finite(leastPSNR),
      "mean_psnr_db": finite(meanPSNR),
      "identical": leastPSNR.map { .bool($0 == .infinity) } ?? .null,
      "least_ssim": finite(leastSSIM),
      "mean_ssim": finite(meanSSIM),
      "largest_difference": finite(largestDifference),
      "least_share_within_1": finite(leastShareWithinOneLevel),
      "worst_latent_error": finite(worstLatentError),
      "least_latent_cosine": finite(leastLatentCosine),
      "mean_latent_cosine": finite(meanLatentCosine),
      "mean_prediction_error": finite(meanPredictionError),
      "worst_prediction_error": finite(worstPredictionError),
    ]
  }
}

extension VerificationReport.ImageResult {
  var json: JSONValue {
    [
      "prompt": .string(prompt),
      "negative_prompt": .string(negativePrompt),
      "seed": Int(exactly: seed).map { .integer($0) } ?? .string("\(seed)"),
      "results": .array(
        results.map { result in
          guard let result else { return .null }
          return [
            "psnr_db": finite(result.comparison.psnr),
            "identical": .bool(result.comparison.isIdentical),
            "ssim": finite(result.comparison.ssim),
            "largest_difference": finite(result.comparison.largestDifference),
            "share_within_1": finite(result.comparison.shareWithinOneLevel),
            "latent_error": finite(result.latentError),
            "latent_cosine": finite(result.latentCosine),
          ]
        }),
    ]
  }
}

extension VerificationReport.TensorResult {
  var json: JSONValue {
    [
      "component": .string(component),
      "tensor": .string(name),
      "reference": .string(reference),
      "shape": .integers(shape.extents),
      "before": .string(before.name),
      "after": .string(after.name),
      "sqnr_db": finite(sqnr),
      "identical": .bool(sqnr == .infinity),
      "relative_error": finite(relativeError),
      "cosine": finite(cosine),
      "largest_difference": finite(largestDifference),
    ]
  }
}
