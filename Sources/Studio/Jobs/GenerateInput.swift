import Sampling
import Support
import Workflow

/// The settings of images as a client gave them, in whichever API, after the check of their kinds and
/// ranges.
struct GenerateInput: Sendable {
  /// Indices of models.
  var models: [Int]
  var prompt = ""
  /// Empty for none.
  var negativePrompt = ""
  /// `nil` for the first model's usual number.
  var steps: Int?
  /// `nil` for the first model's usual scale.
  var guidanceScale: Double?
  /// A name of a scheduler; `nil` for the first model's own.
  var scheduler: String?
  /// `nil` for a random one.
  var seed: Int?
  /// `nil` for the sides that the first model was trained on.
  var width: Int?
  var height: Int?
  var count = 1
  var initImage: Image?
  /// White where ``initImage`` is painted anew.
  var mask: Image?
  var strength: Double?

  /// The work, with every default filled in.
  ///
  /// - Throws: ``RequestError`` for settings that contradict each other or exceed the limits.
  func work(of service: StudioService) throws(RequestError) -> GenerateWork {
    let facts = service.models[models[0]].facts
    let size = ImageSize(width: width ?? facts.size.width, height: height ?? facts.size.height)
    let limit = service.settings.limits.side
    guard max(size.width, size.height) <= limit else {
      throw RequestError(
        .unprocessable, "the images would have \(size) pixels; a side has at most \(limit)",
        parameter: "width", remedy: .adjust(.size, .smaller))
    }
    if initImage == nil {
      if mask != nil {
        throw RequestError(
          .unprocessable, "a mask is given without an initial image", parameter: "mask")
      }
      if strength != nil {
        throw RequestError(
          .unprocessable, "a strength is given without an initial image", parameter: "strength")
      }
    }
    var request = GenerateRequest.standard
    request.prompts = [prompt]
    request.negativePrompt = negativePrompt.isEmpty ? nil : negativePrompt
    request.steps = steps ?? facts.steps
    request.guidanceScale = guidanceScale ?? facts.guidanceScale
    request.scheduler = scheduler ?? facts.scheduler
    // At most 32 bits, so that other programs accept the seed.
    request.seed = seed.map { UInt64($0) } ?? UInt64(UInt32.random(in: 0 ... .max))
    (request.width, request.height) = (size.width, size.height)
    request.initImage = initImage
    request.mask = mask
    request.strength = strength
    return GenerateWork(
      models: models, request: request, count: count, settings: settings(request, service))
  }

  /// The settings as the own API takes them, without images.
  private func settings(_ request: GenerateRequest, _ service: StudioService) -> JSONValue {
    [
      "models": .strings(models.map { service.models[$0].name }), "prompt": .string(prompt),
      "negative_prompt": .string(negativePrompt), "steps": .integer(request.steps),
      "guidance_scale": .number(request.guidanceScale),
      "scheduler": request.scheduler.map { .string($0) } ?? .null,
      "seed": .integer(Int(request.seed)), "width": .integer(request.width ?? 0),
      "height": .integer(request.height ?? 0), "count": .integer(count),
      "strength": strength.map { .number($0) } ?? .null, "has_image": .bool(initImage != nil),
    ]
  }
}

/// An image of a request: PNG in base64, also as a `data:` URL.
///
/// - Parameters:
///   - limit: the most pixels. They are counted before memory is taken for them.
///   - name: the member of the request.
/// - Throws: ``RequestError``.
func decodedImage(_ text: String, limit: Int, name: String) throws(RequestError) -> Image {
  var text = text[...]
  if text.hasPrefix("data:"), let comma = text.firstIndex(of: ",") {
    text = text[text.index(after: comma)...]
  }
  guard let bytes = bytes(base64: String(text)), !bytes.isEmpty else {
    throw RequestError(.unprocessable, "\(name) is not in base64", parameter: name)
  }
  do { return try Image(png: bytes, location: name, limit: limit) } catch {
    throw RequestError(.unprocessable, bounded(message: "\(error)"), parameter: name)
  }
}
