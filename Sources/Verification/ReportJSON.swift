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
      "version": 1,
      "tool": .string(tool),
      "machine": .string(machine),
      "met": .bool(isMet),
      "thresholds": .array(checks.map(\.json)),
      "settings": settings.json,
      "reference": reference.json,
      "compared": .array(
        compared.enumerated().map { index, subject in
          var object = subject.json.object ?? JSONObject()
          object["summary"] = summary(of: index).json
          return .object(object)
        }),
      "pictures": .array(images.map(\.json)),
      "steps": .array(
        steps.enumerated().map { index, step in
          [
            "step": .integer(index + 1),
            "timestep": .number(step.timestep),
            "latent_error": .array(step.latents.map(\.json)),
            "prediction_error": .array(step.predictions.map(\.json)),
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
      "notes": .strings(notes),
      "provenance": .object(provenance),
    ]
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
      "identical": .bool(leastPSNR == .infinity),
      "least_ssim": finite(leastSSIM),
      "mean_ssim": finite(meanSSIM),
      "largest_difference": finite(largestDifference),
      "least_share_within_1": finite(leastShareWithinOneLevel),
      "worst_latent_error": finite(worstLatentError),
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
          [
            "psnr_db": finite(result.comparison.psnr),
            "identical": .bool(result.comparison.isIdentical),
            "ssim": finite(result.comparison.ssim),
            "largest_difference": finite(result.comparison.largestDifference),
            "share_within_1": finite(result.comparison.shareWithinOneLevel),
            "latent_error": finite(result.latentError),
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
