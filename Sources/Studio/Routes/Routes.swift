import Support

/// The list of routes. Each is one entry.
enum Routes {
  static let all: [Route] = [
    Route("GET", "/", .page, "The page.", answer: .html, isPublic: true) { service, _ in
      service.page.response
    },
    Route(
      "GET", "/openapi.json", .page, "This document.",
      answer: .json(.ok) { _ in .object([], isOpen: true) }, isPublic: true
    ) { service, _ in
      HTTPResponse(
        json: OpenAPI.document(
          all, facts: service.facts, needsToken: service.settings.token != nil))
    },
    Route(
      "GET", "/api/server", .own, "The models, schedulers and limits.",
      answer: .json(.ok, OwnAPI.serverBody)
    ) { service, _ in OwnAPI.server(service) },
    Route(
      "GET", "/api/models/{name}", .own, "What a model is: family, blocks, encodings, origin.",
      parameters: ["name": "The model's name."],
      answer: .json(.ok) { _ in
        .object([
          .required("facts", .object([], isOpen: true)),
          .required("description", .object([], isOpen: true)),
        ])
      }, OwnAPI.model),
    Route(
      "POST", "/api/generate", .own, "Adds a job that generates images.",
      body: OwnAPI.generateBody, answer: .json(.accepted, OwnAPI.jobBody), OwnAPI.generate),
    Route(
      "POST", "/api/bench", .own, "Adds a job that measures models.", body: OwnAPI.benchBody,
      answer: .json(.accepted, OwnAPI.jobBody), OwnAPI.bench),
    Route(
      "GET", "/api/jobs", .own, "All jobs that are kept.", answer: .json(.ok, OwnAPI.jobsBody)
    ) { service, _ in HTTPResponse(json: ["jobs": .array(service.jobs.descriptions())]) },
    Route(
      "GET", "/api/jobs/{id}", .own, "A job.", parameters: ["id": "The job's identifier."],
      answer: .json(.ok, OwnAPI.jobBody), OwnAPI.job),
    Route(
      "DELETE", "/api/jobs/{id}", .own, "Cancels a job, or removes a finished one.",
      parameters: ["id": "The job's identifier."], answer: .none, OwnAPI.removeJob),
    Route(
      "GET", "/api/jobs/{id}/events", .own, "The changes of a job as server-sent events.",
      parameters: ["id": "The job's identifier."], answer: .events, OwnAPI.events),
    Route(
      "GET", "/api/jobs/{id}/images/{name}", .own, "An image of a job.",
      parameters: ["id": "The job's identifier.", "name": "0.png, or 0-difference.png."],
      answer: .png, OwnAPI.image),
    Route(
      "POST", "/sdapi/v1/txt2img", .a1111, "Generates images.", body: A1111API.textBody,
      answer: .json(.ok, A1111API.imagesBody), A1111API.txt2img),
    Route(
      "POST", "/sdapi/v1/img2img", .a1111, "Generates images from an image.",
      body: A1111API.imageBody, answer: .json(.ok, A1111API.imagesBody), A1111API.img2img),
    Route(
      "GET", "/sdapi/v1/sd-models", .a1111, "The models.",
      answer: .json(.ok, A1111API.modelsBody)
    ) { service, _ in A1111API.models(service) },
    Route(
      "GET", "/sdapi/v1/samplers", .a1111, "The samplers.",
      answer: .json(.ok, A1111API.samplersBody)
    ) { _, _ in A1111API.samplers },
    Route(
      "GET", "/sdapi/v1/schedulers", .a1111, "The noise schedules.",
      answer: .json(.ok, A1111API.schedulersBody)
    ) { _, _ in A1111API.schedulers },
    Route(
      "GET", "/sdapi/v1/options", .a1111, "The options.", answer: .json(.ok, A1111API.optionsBody)
    ) { service, _ in A1111API.options(service) },
    Route(
      "POST", "/sdapi/v1/options", .a1111, "Chooses the model.", body: A1111API.optionsBody,
      answer: .json(.ok) { _ in .values([.null]) }, A1111API.setOptions),
    Route(
      "GET", "/sdapi/v1/progress", .a1111, "The progress of the job that runs.",
      query: [.optional("skip_current_image", .boolean, "Leaves the preview out.")],
      answer: .json(.ok, A1111API.progressBody), A1111API.progress),
    Route(
      "POST", "/sdapi/v1/interrupt", .a1111, "Cancels the job that runs.",
      answer: .json(.ok) { _ in .object([]) }
    ) { service, _ in A1111API.interrupt(service) },
    Route(
      "GET", "/v1/models", .openAI, "The models.", answer: .json(.ok, OpenAIAPI.modelsBody)
    ) { service, _ in OpenAIAPI.models(service) },
    Route(
      "GET", "/v1/models/{model}", .openAI, "A model.", parameters: ["model": "The model's name."],
      answer: .json(.ok) { _ in OpenAIAPI.modelSchema }, OpenAIAPI.model),
    Route(
      "POST", "/v1/images/generations", .openAI, "Generates images.", body: OpenAIAPI.body,
      answer: .json(.ok, OpenAIAPI.imagesBody), OpenAIAPI.generate),
  ]
}
