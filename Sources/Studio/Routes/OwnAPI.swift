import Sampling
import Support
private import Workflow

/// Decant's own API: jobs, with events while they run.
enum OwnAPI {
  // MARK: - Generating

  static let generateBody: Route.BodySchema = { facts in
    .object([
      .required("prompt", facts.prompt, "What the images show."),
      .optional("negative_prompt", facts.prompt, "What they must not show.", default: ""),
      .optional(
        "models", .array(of: facts.modelName, 1...facts.models.count),
        "The models. The others are compared with the first one. The first of the server by default."
      ),
      .optional("steps", facts.steps, "Sampling steps; the model's usual number by default."),
      .optional(
        "guidance_scale", facts.guidanceScale,
        "Scale of classifier-free guidance; 1 and below turn it off."),
      .optional("scheduler", .names(Schedulers.all.map(\.name)), "The model's own by default."),
      .optional(
        "seed", facts.seed, "Of the first image; it grows by one. -1 is random.", default: -1),
      .optional("width", facts.side, "In pixels; the model's own by default."),
      .optional("height", facts.side, "In pixels; the model's own by default."),
      .optional("count", facts.count, "Images of each model.", default: 1),
      .optional("init_image", facts.image, "Start from this image: PNG in base64."),
      .optional("mask", facts.image, "White where the image is painted anew: PNG in base64."),
      .optional(
        "strength", .number(0.01...1), "How much the image changes; 0.8 by default, 1 with a mask."),
    ])
  }

  static func generate(
    _ service: StudioService, _ request: RouteRequest
  ) throws(RequestError) -> HTTPResponse {
    let body = request.body
    var indices: [Int] = []
    for name in body["models"]?.array?.compactMap(\.string) ?? [service.models[0].name] {
      let index = try service.model(named: name)
      if indices.contains(index) {
        throw RequestError(
          .unprocessable, "the model \(shown(name)) is named twice", parameter: "models")
      }
      indices.append(index)
    }
    var input = GenerateInput(models: indices)
    input.prompt = body["prompt"]?.string ?? ""
    input.negativePrompt = body["negative_prompt"]?.string ?? ""
    input.steps = body["steps"]?.integer
    input.guidanceScale = body["guidance_scale"]?.number
    input.scheduler = body["scheduler"]?.string
    input.seed = body["seed"]?.integer.flatMap { $0 < 0 ? nil : $0 }
    input.width = body["width"]?.integer
    input.height = body["height"]?.integer
    input.count = body["count"]?.integer ?? 1
    input.strength = body["strength"]?.number
    let limit = service.settings.limits.imagePixels
    if let text = body["init_image"]?.string {
      input.initImage = try decodedImage(text, limit: limit, name: "init_image")
    }
    if let text = body["mask"]?.string {
      input.mask = try decodedImage(text, limit: limit, name: "mask")
    }
    return try accepted(.generate(try input.work(of: service)), by: service)
  }

  // MARK: - Measuring

  static let benchBody: Route.BodySchema = { facts in
    .object([
      .optional(
        "models", .array(of: facts.modelName, 1...facts.models.count), "All models by default."),
      .optional("steps", .integer(1...20), "Sampling steps.", default: 4),
      .optional(
        "guidance_scale", facts.guidanceScale, "With 1, a step is one call of the U-Net.",
        default: 7.5),
      .optional("width", facts.side, "In pixels, with the height; each model's own by default."),
      .optional("height", facts.side, "In pixels, with the width."),
    ])
  }

  static func bench(
    _ service: StudioService, _ request: RouteRequest
  ) throws(RequestError) -> HTTPResponse {
    let body = request.body
    var indices: [Int] = []
    for name in body["models"]?.array?.compactMap(\.string) ?? service.facts.models {
      indices.append(try service.model(named: name))
    }
    let (width, height) = (body["width"]?.integer, body["height"]?.integer)
    if (width == nil) != (height == nil) {
      throw RequestError(
        .unprocessable, "width and height are given together, or neither is",
        parameter: width == nil ? "width" : "height")
    }
    let work = BenchWork(
      models: indices, names: indices.map { service.models[$0].name },
      steps: body["steps"]?.integer ?? 4,
      guidanceScale: body["guidance_scale"]?.number ?? GenerateRequest.standard.guidanceScale,
      size: width.flatMap { width in height.map { ImageSize(width: width, height: $0) } })
    return try accepted(.bench(work), by: service)
  }

  private static func accepted(
    _ work: StudioWork, by service: StudioService
  ) throws(RequestError) -> HTTPResponse {
    let id = try service.jobs.add(work)
    return HTTPResponse(
      .accepted, json: service.jobs.description(of: id) ?? .null,
      headers: [("location", "/api/jobs/\(id)")])
  }

  // MARK: - Jobs

  private static let nullableNumber = Schema.nullable(.number(-Double.infinity...Double.infinity))
  private static let natural = Schema.integer(0...Int(Int32.max))

  static let jobBody: Route.BodySchema = { _ in
    .object([
      .required("id", .string()), .required("kind", .names(["generate", "bench"])),
      .required("state", .names(StudioJob.State.allCases.map(\.rawValue))),
      .required("position", natural, "The number of jobs before it."),
      .required("created", .integer(0...Int.max), "Seconds since 1970."),
      .required("settings", .object([], isOpen: true), "The settings, with defaults filled in."),
      .required("progress", .object([], isOpen: true)), .required("seconds", nullableNumber),
      .required("notes", .array(of: .string())), .required("error", .any),
      .required("results", .array(of: .object([], isOpen: true)), "One for each model."),
      .required("bench", .any, "The measurements of a bench."),
    ])
  }

  static let jobsBody: Route.BodySchema = { facts in
    .object([.required("jobs", .array(of: jobBody(facts)), "Newest first.")])
  }

  static func job(
    _ service: StudioService, _ request: RouteRequest
  ) throws(RequestError) -> HTTPResponse {
    guard let job = service.jobs.description(of: request["id"]) else { throw unknownJob(request) }
    return HTTPResponse(json: job)
  }

  static func removeJob(
    _ service: StudioService, _ request: RouteRequest
  ) throws(RequestError) -> HTTPResponse {
    guard service.jobs.remove(request["id"]) else { throw unknownJob(request) }
    return HTTPResponse(.noContent)
  }

  static func events(
    _ service: StudioService, _ request: RouteRequest
  ) throws(RequestError) -> HTTPResponse {
    guard let events = service.jobs.events(of: request["id"]) else { throw unknownJob(request) }
    return HTTPResponse(
      .ok, headers: [("content-type", "text/event-stream"), ("cache-control", "no-store")],
      body: .events(events))
  }

  /// `3.png` or `3-difference.png`.
  static func image(
    _ service: StudioService, _ request: RouteRequest
  ) throws(RequestError) -> HTTPResponse {
    guard let job = service.jobs.job(request["id"]) else { throw unknownJob(request) }
    let name = request["name"]
    let ending = ".png"
    let difference = "-difference.png"
    let isDifference = name.hasSuffix(difference)
    let digits = name.dropLast(isDifference ? difference.count : ending.count)
    if name.hasSuffix(ending), let number = Int(digits), job.images.indices.contains(number) {
      let image = job.images[number]
      if let png = isDifference ? image.difference : image.png {
        return HTTPResponse(
          png: png, name: "decant-\(job.id)-\(number)\(isDifference ? "-difference" : "").png")
      }
    }
    throw RequestError(.notFound, "the job has no image \(shown(name))")
  }

  private static func unknownJob(_ request: RouteRequest) -> RequestError {
    RequestError(.notFound, "there is no job \(shown(request["id"]))")
  }

  // MARK: - The server

  static let serverBody: Route.BodySchema = { _ in
    .object([
      .required("version", .string()), .required("models", .array(of: .object([], isOpen: true))),
      .required(
        "schedulers",
        .array(of: .object([.required("name", .string()), .required("title", .string())]))),
      .required(
        "limits",
        .object([
          .required("side", natural), .required("steps", natural), .required("images", natural),
          .required("prompt_length", natural), .required("image_pixels", natural),
        ])),
    ])
  }

  static func server(_ service: StudioService) -> HTTPResponse {
    let limits = service.settings.limits
    return HTTPResponse(
      json: [
        "version": .string(toolVersion), "models": .array(service.models.map(\.json)),
        "schedulers": .array(
          Schedulers.all.map { ["name": .string($0.name), "title": .string($0.title)] }),
        "limits": [
          "side": .integer(limits.side), "steps": .integer(limits.steps),
          "images": .integer(limits.images), "prompt_length": .integer(limits.promptLength),
          "image_pixels": .integer(limits.imagePixels),
        ],
      ])
  }

  static func model(
    _ service: StudioService, _ request: RouteRequest
  ) throws(RequestError) -> HTTPResponse {
    let model = service.models[try service.model(named: request["name"])]
    return HTTPResponse(json: ["facts": model.json, "description": model.description])
  }
}
