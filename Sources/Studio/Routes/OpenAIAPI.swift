private import Foundation
import Sampling
import Support

/// OpenAI's API of images, with further members for what Stable Diffusion has besides.
enum OpenAIAPI {
  private static let ignored = " Without effect."

  static let body: Route.BodySchema = { facts in
    let sizes = sizes(facts).map { JSONValue.string($0.description) }
    return .object([
      .required("prompt", facts.prompt),
      .optional("model", .nullable(facts.modelName), "The first of the server by default."),
      .optional("n", .nullable(facts.count), default: 1),
      .optional("size", .values(sizes + ["auto", .null]), "The model's own by default."),
      .optional("response_format", .values(["b64_json", "url", .null]), default: "b64_json"),
      .optional("output_format", .values(["png", .null])),
      .optional("quality", .nullable(.string(most: 20)), "Any." + ignored),
      .optional("style", .nullable(.string(most: 20)), "Any." + ignored),
      .optional("background", .values(["auto", "opaque", .null])),
      .optional("moderation", .nullable(.string(most: 20)), "Any." + ignored),
      .optional("user", .nullable(.string(most: 1000)), "Any." + ignored),
      .optional("stream", .values([false, .null])),
      .optional("negative_prompt", .nullable(facts.prompt), "Decant's own."),
      .optional("seed", .nullable(facts.seed), "Decant's own: of the first image."),
      .optional("steps", .nullable(facts.steps), "Decant's own."),
      .optional("guidance_scale", .nullable(facts.guidanceScale), "Decant's own."),
      .optional(
        "scheduler", .values(Schedulers.all.map { .string($0.name) } + [.null]), "Decant's own."),
    ])
  }

  /// Usual sizes within the limits, and those of the models.
  private static func sizes(_ facts: StudioFacts) -> [ImageSize] {
    let usual = [
      (256, 256), (512, 512), (768, 768), (1024, 1024), (1024, 1536), (1536, 1024), (1024, 1792),
      (1792, 1024),
    ].map { ImageSize(width: $0, height: $1) }
    return (facts.sizes + usual.filter { !facts.sizes.contains($0) }).filter {
      max($0.width, $0.height) <= facts.limits.side
    }
  }

  static func generate(
    _ service: StudioService, _ request: RouteRequest
  ) async throws(RequestError) -> HTTPResponse {
    let body = request.body
    var index = 0
    if let name = body["model"]?.string { index = try service.model(named: name) }
    var input = GenerateInput(models: [index])
    input.prompt = body["prompt"]?.string ?? ""
    input.negativePrompt = body["negative_prompt"]?.string ?? ""
    input.count = body["n"]?.integer ?? 1
    input.seed = body["seed"]?.integer.flatMap { $0 < 0 ? nil : $0 }
    input.steps = body["steps"]?.integer
    input.guidanceScale = body["guidance_scale"]?.number
    input.scheduler = body["scheduler"]?.string
    if let text = body["size"]?.string,
      let size = sizes(service.facts).first(where: { $0.description == text })
    {
      (input.width, input.height) = (size.width, size.height)
    }
    let id = try service.jobs.add(.generate(try input.work(of: service)))
    let job = try await service.jobs.result(of: id)
    let asURL = body["response_format"]?.string == "url"
    let host = request.request.headers["host"] ?? ""
    let images = job.images.enumerated().map { number, image -> JSONValue in
      asURL
        ? ["url": .string("http://\(host)/api/jobs/\(id)/images/\(number).png")]
        : ["b64_json": .string(base64(image.png))]
    }
    return HTTPResponse(
      json: ["created": .integer(Int(Date().timeIntervalSince1970)), "data": .array(images)])
  }

  static let imagesBody: Route.BodySchema = { _ in
    .object([
      .required("created", .integer(0...Int.max), "Seconds since 1970."),
      .required(
        "data",
        .array(
          of: .object([
            .optional("b64_json", .string(), "PNG."),
            .optional("url", .string(), "An address that is valid as long as the job is kept."),
          ]))),
    ])
  }

  // MARK: - Models

  static let modelSchema = Schema.object([
    .required("id", .string()), .required("object", .values(["model"])),
    .required("created", .integer(0...Int.max)), .required("owned_by", .string()),
  ])

  static let modelsBody: Route.BodySchema = { _ in
    .object([
      .required("object", .values(["list"])), .required("data", .array(of: modelSchema)),
    ])
  }

  private static func json(_ name: String) -> JSONValue {
    ["id": .string(name), "object": "model", "created": 0, "owned_by": "decant"]
  }

  static func models(_ service: StudioService) -> HTTPResponse {
    HTTPResponse(json: ["object": "list", "data": .array(service.facts.models.map(json))])
  }

  static func model(
    _ service: StudioService, _ request: RouteRequest
  ) throws(RequestError) -> HTTPResponse {
    HTTPResponse(json: json(service.facts.models[try service.model(named: request["model"])]))
  }
}
