private import Foundation
import Sampling
import Support
private import Synchronization

/// What programs of A1111's API have chosen for their next requests.
final class A1111Options: Sendable {
  private let chosen = Mutex(0)

  /// The index of the model.
  var model: Int {
    get { chosen.withLock { $0 } }
    set { chosen.withLock { $0 = newValue } }
  }
}

/// The API of AUTOMATIC1111's Stable Diffusion web UI, version 1.10, as far as the server can serve it.
/// What would change an image and is not possible is refused; other members have no effect.
enum A1111API {
  // MARK: - What requests hold

  private static let off = Schema.values([false, .null])
  private static let empty = Schema.either([
    .values([.null]), .array(of: .any, 0...0), .object([]), .values([""]),
  ])
  private static let zero = Schema.values([0, .null])

  private static func members(_ facts: StudioFacts) -> [Schema.Member] {
    let text = Schema.nullable(facts.prompt)
    let samplers = Schema.values(
      Schedulers.all.flatMap { [$0.title, $0.name] + $0.aliases }.map { .string($0) } + ["", .null])
    return [
      .optional("prompt", text, default: ""), .optional("negative_prompt", text, default: ""),
      .optional("seed", .nullable(facts.seed), "-1 is random.", default: -1),
      .optional("steps", .nullable(facts.steps), "The model's usual number by default."),
      .optional("cfg_scale", .nullable(facts.guidanceScale)),
      .optional("width", .nullable(facts.side)), .optional("height", .nullable(facts.side)),
      .optional("batch_size", .nullable(facts.count), default: 1),
      .optional("n_iter", .nullable(facts.count), "Multiplies batch_size.", default: 1),
      .optional("sampler_name", samplers),
      .optional("sampler_index", .any, "Without effect where sampler_name is given."),
      .optional("scheduler", .values(schedules.map { .string($0) } + ["", .null])),
      .optional("send_images", .nullable(.boolean), default: true),
      .optional("styles", empty), .optional("subseed_strength", zero),
      .optional("seed_resize_from_h", .values([0, -1, .null])),
      .optional("seed_resize_from_w", .values([0, -1, .null])),
      .optional("restore_faces", off), .optional("tiling", off), .optional("save_images", off),
      .optional("enable_hr", off), .optional("refiner_checkpoint", .values(["", .null])),
      .optional("script_name", .values(["", "None", .null])), .optional("script_args", empty),
      .optional("alwayson_scripts", empty),
      .optional(
        "override_settings",
        .nullable(
          .object([
            .optional("sd_model_checkpoint", facts.modelName, "The model of this request."),
            .optional("CLIP_stop_at_last_layers", .values([1])),
          ]))),
    ]
  }

  static let textBody: Route.BodySchema = { .object(members($0), isOpen: true) }

  static let imageBody: Route.BodySchema = { facts in
    .object(
      members(facts) + [
        .required("init_images", .array(of: facts.image, 1...1), "One PNG in base64."),
        .optional("mask", .nullable(facts.image), "White where the image is painted anew."),
        .optional("inpainting_mask_invert", .values([0, 1, .null])),
        .optional("denoising_strength", .nullable(.number(0.01...1)), default: 0.75),
        .optional("resize_mode", .values([0, .null]), "The image is resized to the size."),
        .optional("include_init_images", .nullable(.boolean)),
      ], isOpen: true)
  }

  /// The names of noise schedules. Samplers have theirs in their names.
  private static let schedules = ["automatic", "Automatic", "karras", "Karras"]

  // MARK: - Images

  static func txt2img(
    _ service: StudioService, _ request: RouteRequest
  ) async throws(RequestError) -> HTTPResponse {
    try await answer(try input(request.body, service), request.body, service)
  }

  static func img2img(
    _ service: StudioService, _ request: RouteRequest
  ) async throws(RequestError) -> HTTPResponse {
    let body = request.body
    var input = try input(body, service)
    let limit = service.settings.limits.imagePixels
    let text = body["init_images"]?.array?.first?.string ?? ""
    input.initImage = try decodedImage(text, limit: limit, name: "init_images[0]")
    if let text = body["mask"]?.string {
      var mask = try decodedImage(text, limit: limit, name: "mask")
      if body["inpainting_mask_invert"]?.integer == 1 { mask.pixels = mask.pixels.map { 255 - $0 } }
      input.mask = mask
    }
    input.strength = body["denoising_strength"]?.number ?? 0.75
    return try await answer(input, body, service)
  }

  private static func input(
    _ body: JSONObject, _ service: StudioService
  ) throws(RequestError) -> GenerateInput {
    let named = body["override_settings"]?.object?["sd_model_checkpoint"]?.string
    var input = GenerateInput(models: [service.options.model])
    if let named { input.models = [try service.model(named: named)] }
    input.prompt = body["prompt"]?.string ?? ""
    input.negativePrompt = body["negative_prompt"]?.string ?? ""
    input.seed = body["seed"]?.integer.flatMap { $0 < 0 ? nil : $0 }
    input.steps = body["steps"]?.integer
    input.guidanceScale = body["cfg_scale"]?.number
    input.width = body["width"]?.integer
    input.height = body["height"]?.integer
    input.count = (body["batch_size"]?.integer ?? 1) * (body["n_iter"]?.integer ?? 1)
    let limit = service.settings.limits.images
    if input.count > limit {
      throw RequestError(
        .unprocessable, "batch_size times n_iter is \(input.count), expected at most \(limit)",
        parameter: "n_iter")
    }
    input.scheduler = try scheduler(
      body["sampler_name"]?.string ?? "", schedule: body["scheduler"]?.string ?? "")
    return input
  }

  /// The scheduler of a sampler with a noise schedule; `nil` for the model's own.
  private static func scheduler(
    _ sampler: String, schedule: String
  ) throws(RequestError) -> String? {
    if sampler.isEmpty { return nil }
    let kind: SchedulerKind
    do { kind = try Schedulers.named(sampler) } catch {
      throw RequestError(.badRequest, bounded(message: "\(error)"), parameter: "sampler_name")
    }
    guard schedule.lowercased() == "karras", !kind.title.hasSuffix(karras) else { return kind.name }
    let title = kind.title + karras
    guard let other = Schedulers.all.first(where: { $0.title == title }) else {
      throw RequestError(
        .unprocessable, "the sampler \(kind.title) has no schedule Karras", parameter: "scheduler")
    }
    return other.name
  }

  private static let karras = " Karras"

  private static func answer(
    _ input: GenerateInput, _ body: JSONObject, _ service: StudioService
  ) async throws(RequestError) -> HTTPResponse {
    let id = try service.jobs.add(.generate(try input.work(of: service)))
    let job = try await service.jobs.result(of: id)
    let images = job.images
    var parameters = body
    // The real server leaves them out too.
    for name in ["init_images", "mask"] where parameters[name] != nil { parameters[name] = .null }
    let sendsImages = body["send_images"]?.bool ?? true
    return HTTPResponse(
      json: [
        "images": .strings(sendsImages ? images.map { base64($0.png) } : []),
        "parameters": .object(parameters), "info": .string(info(job, images).text()),
      ])
  }

  /// The facts of the images, which the real server sends as a text of JSON.
  private static func info(_ job: StudioJob, _ images: [JobImage]) -> JSONValue {
    guard let first = images.first?.parameters else { return [:] }
    let seeds = images.map { JSONValue.integer(Int($0.parameters.seed)) }
    return [
      "prompt": .string(first.prompt), "all_prompts": .strings(images.map(\.parameters.prompt)),
      "negative_prompt": .string(first.negativePrompt),
      "all_negative_prompts": .strings(images.map(\.parameters.negativePrompt)),
      "seed": .integer(Int(first.seed)), "all_seeds": .array(seeds), "subseed": -1,
      "all_subseeds": .array(images.map { _ in -1 }), "subseed_strength": 0,
      "width": .integer(first.width), "height": .integer(first.height),
      "sampler_name": .string(first.sampler), "cfg_scale": .number(first.guidanceScale),
      "steps": .integer(first.steps), "batch_size": .integer(images.count), "restore_faces": false,
      "face_restoration_model": .null, "sd_model_name": .string(first.model),
      "sd_model_hash": .null, "sd_vae_name": .null, "sd_vae_hash": .null,
      "seed_resize_from_w": -1, "seed_resize_from_h": -1,
      "denoising_strength": first.denoisingStrength.map { .number($0) } ?? .null,
      "extra_generation_params": [:], "index_of_first_image": 0,
      "infotexts": .strings(images.map(\.parameters.text)), "styles": [],
      "job_timestamp": .string("\(job.createdSeconds)"), "clip_skip": 1,
      "is_using_inpainting_conditioning": false, "version": .string(first.version),
    ]
  }

  static let imagesBody: Route.BodySchema = { _ in
    .object([
      .required("images", .array(of: .string()), "PNG in base64."),
      .required("parameters", .object([], isOpen: true), "The request."),
      .required("info", .string(), "An object as JSON text."),
    ])
  }

  // MARK: - Lists

  private static let nullableText = Schema.nullable(.string())

  static let modelsBody: Route.BodySchema = { _ in
    .array(
      of: .object([
        .required("title", .string()), .required("model_name", .string()),
        .required("hash", nullableText), .required("sha256", nullableText),
        .required("filename", .string(), "The name; the server tells no paths."),
        .required("config", nullableText),
      ]))
  }

  static func models(_ service: StudioService) -> HTTPResponse {
    HTTPResponse(
      json: .array(
        service.facts.models.map { name in
          [
            "title": .string(name), "model_name": .string(name), "hash": .null, "sha256": .null,
            "filename": .string(name), "config": .null,
          ]
        }))
  }

  static let samplersBody: Route.BodySchema = { _ in
    .array(
      of: .object([
        .required("name", .string()), .required("aliases", .array(of: .string())),
        .required("options", .object([], isOpen: true)),
      ]))
  }

  static var samplers: HTTPResponse {
    HTTPResponse(
      json: .array(
        Schedulers.all.map { kind in
          [
            "name": .string(kind.title), "aliases": .strings([kind.name] + kind.aliases),
            "options": [:],
          ]
        }))
  }

  static let schedulersBody: Route.BodySchema = { _ in
    .array(
      of: .object([
        .required("name", .string()), .required("label", .string()),
        .required("aliases", .nullable(.array(of: .string()))),
        .required("default_rho", .number(-1...10)), .required("need_inner_model", .boolean),
      ]))
  }

  static var schedulers: HTTPResponse {
    HTTPResponse(
      json: [
        [
          "name": "automatic", "label": "Automatic", "aliases": .null, "default_rho": -1,
          "need_inner_model": false,
        ],
        [
          "name": "karras", "label": "Karras", "aliases": .null, "default_rho": 7,
          "need_inner_model": false,
        ],
      ])
  }

  // MARK: - Options

  static let optionsBody: Route.BodySchema = { facts in
    .object(
      [
        .optional("sd_model_checkpoint", facts.modelName, "The model of requests that name none."),
        .optional("CLIP_stop_at_last_layers", .values([1])),
        .optional("samples_format", .values(["png"])),
      ], isOpen: true)
  }

  static func options(_ service: StudioService) -> HTTPResponse {
    HTTPResponse(
      json: [
        "sd_model_checkpoint": .string(service.facts.models[service.options.model]),
        "CLIP_stop_at_last_layers": 1, "samples_format": "png",
      ])
  }

  static func setOptions(
    _ service: StudioService, _ request: RouteRequest
  ) throws(RequestError) -> HTTPResponse {
    if let name = request.body["sd_model_checkpoint"]?.string {
      service.options.model = try service.model(named: name)
    }
    return HTTPResponse(json: .null)
  }

  // MARK: - Progress

  static let progressBody: Route.BodySchema = { _ in
    let natural = Schema.integer(0...Int(Int32.max))
    return .object([
      .required("progress", .number(0...1)),
      .required("eta_relative", .number(0...1e9), "Seconds."),
      .required(
        "state",
        .object([
          .required("skipped", .boolean), .required("interrupted", .boolean),
          .required("stopping_generation", .boolean), .required("job", .string()),
          .required("job_count", natural), .required("job_timestamp", .string()),
          .required("job_no", natural), .required("sampling_step", natural),
          .required("sampling_steps", natural),
        ])),
      .required("current_image", nullableText, "A small preview: PNG in base64."),
      .required("textinfo", nullableText),
    ])
  }

  static func progress(_ service: StudioService, _ request: RouteRequest) -> HTTPResponse {
    let running = service.jobs.runningJob()
    let job = running?.job
    let progress = job?.progress ?? StudioProgress()
    let skipsImage = request.query["skip_current_image"]?.bool ?? false
    let jobs = running.map { 1 + $0.waiting } ?? 0
    return HTTPResponse(
      json: [
        "progress": .number(progress.share), "eta_relative": .number(progress.secondsLeft ?? 0),
        "state": [
          "skipped": false, "interrupted": false, "stopping_generation": false,
          "job": .string(job?.id ?? ""), "job_count": .integer(jobs),
          "job_timestamp": .string(job.map { "\($0.createdSeconds)" } ?? "0"), "job_no": 0,
          "sampling_step": .integer(progress.step), "sampling_steps": .integer(progress.steps),
        ],
        "current_image": skipsImage
          ? .null : job?.preview.map { .string(base64($0)) } ?? .null,
        "textinfo": .null,
      ])
  }

  static func interrupt(_ service: StudioService) -> HTTPResponse {
    if let id = service.jobs.runningJob()?.job.id { service.jobs.cancel(id) }
    return HTTPResponse(json: [:])
  }
}
