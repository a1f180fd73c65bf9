import Foundation
import Sampling
import Studio
import Support
import Synchronization
import Testing
import Workflow

/// The APIs of A1111 and OpenAI, and the document that describes all routes.
@Suite struct OtherAPITests {
  private func png(_ level: UInt8) throws -> String {
    let image = Image(width: 8, height: 8, red: level, green: level, blue: level)
    return Data(try image.png()).base64EncodedString()
  }

  // MARK: - A1111

  @Test func txt2imgAnswersAsTheRealOne() async throws {
    let service = try Service()
    let body: JSONValue = [
      "prompt": "a cat", "negative_prompt": "rain", "seed": 7, "batch_size": 2, "n_iter": 1,
      "steps": 4, "cfg_scale": 5, "width": 16, "height": 24, "sampler_name": "DPM++ 2M",
      "scheduler": "Karras", "enable_hr": false, "styles": [], "script_args": [], "eta": 1.0,
      "alwayson_scripts": [:], "override_settings": ["sd_model_checkpoint": "small"],
      "hr_scale": 2,
    ]
    let (status, value) = try await service.json("POST", "/sdapi/v1/txt2img", json: body)
    #expect(status == .ok)
    let object = try #require(value.object)
    let images = (object["images"]?.array ?? []).compactMap(\.string)
    let first = try #require(Data(base64Encoded: images[0]))
    #expect(try Image(png: [UInt8](first), location: "answer").pixels[0] == 17)
    #expect(images.count == 2)
    #expect(object["parameters"]?.object?["hr_scale"]?.integer == 2)
    let text = try #require(object["info"]?.string)
    let info = try #require(try JSONValue(parsing: text).object)
    #expect(info["all_seeds"]?.array == [7, 8])
    #expect(info["infotexts"]?.array?.count == 2)
    let requests = service.generators[1].requests.withLock { $0 }
    let request = try #require(requests.first)
    #expect(request.scheduler == "dpm++2m-karras" && request.steps == 4)
    #expect(service.generators[0].requests.withLock { $0.isEmpty })
  }

  @Test func img2imgStartsFromAnImage() async throws {
    let service = try Service()
    let (status, value) = try await service.json(
      "POST", "/sdapi/v1/img2img",
      json: [
        "prompt": "a cat", "init_images": [.string("data:image/png;base64," + (try png(3)))],
        "mask": .string(try png(255)), "inpainting_mask_invert": 1, "denoising_strength": 0.4,
        "mask_blur": 4, "send_images": false,
      ])
    #expect(status == .ok, "\(value.text())")
    #expect(value.object?["images"]?.array == [])
    #expect(value.object?["parameters"]?.object?["init_images"]?.isNull == true)
    let requests = service.generators[0].requests.withLock { $0 }
    let request = try #require(requests.first)
    #expect(request.initImage?.pixels[0] == 3 && request.mask?.pixels[0] == 0)
    #expect(request.strength == 0.4)
  }

  static let refusals: [(body: JSONValue, status: HTTPStatus, reason: String)] = [
    (["enable_hr": true], .unprocessable, "enable_hr is true, expected false or null"),
    (["prompt": 3], .unprocessable, "prompt is 3, expected a text of at most 4000 characters"),
    (
      ["sampler_name": "Euler", "scheduler": "Karras"], .unprocessable,
      "the sampler Euler has no schedule Karras"
    ),
    (
      ["batch_size": 4, "n_iter": 3], .unprocessable,
      "batch_size times n_iter is 12, expected at most 8"
    ),
    (
      ["override_settings": ["eta": 1]], .unprocessable, "override_settings.eta is unknown"
    ),
  ]

  @Test(arguments: refusals.indices)
  func whatIsNotPossibleIsRefused(index: Int) async throws {
    let (body, status, reason) = Self.refusals[index]
    let answer = try await Service().json("POST", "/sdapi/v1/txt2img", json: body)
    #expect(answer.status == status)
    #expect(answer.value.object?["detail"]?.string == reason)
  }

  @Test func listsAreShapedAsTheRealOnes() async throws {
    let service = try Service()
    let models = try await service.json("GET", "/sdapi/v1/sd-models").value.array ?? []
    #expect(models.map { $0.object?["title"]?.string } == ["full", "small"])
    let samplers = try await service.json("GET", "/sdapi/v1/samplers").value.array ?? []
    #expect(samplers.map { $0.object?["name"]?.string } == Schedulers.all.map(\.title))
    let schedulers = try await service.json("GET", "/sdapi/v1/schedulers").value.array ?? []
    #expect(schedulers.map { $0.object?["label"]?.string } == ["Automatic", "Karras"])
  }

  @Test func optionsChooseTheModel() async throws {
    let service = try Service()
    func chosen() async throws -> String? {
      let options = try await service.json("GET", "/sdapi/v1/options").value.object
      return options?["sd_model_checkpoint"]?.string
    }
    #expect(try await chosen() == "full")
    let (status, value) = try await service.json(
      "POST", "/sdapi/v1/options", json: ["sd_model_checkpoint": "small", "other": 1])
    #expect(status == .ok && value.isNull)
    #expect(try await chosen() == "small")
    _ = try await service.json("POST", "/sdapi/v1/txt2img", json: ["prompt": "a cat"])
    #expect(service.generators[1].requests.withLock { $0.count } == 1)
    let unknown = try await service.send(
      "POST", "/sdapi/v1/options", json: ["sd_model_checkpoint": "other"])
    #expect(unknown.status == .unprocessable)
  }

  @Test func progressIsReportedAndInterrupted() async throws {
    let service = try Service([FakeGenerator(gate: Gate())])
    let idle = try #require(try await service.json("GET", "/sdapi/v1/progress").value.object)
    #expect(idle["progress"]?.number == 0 && idle["current_image"]?.isNull == true)
    let request = Task {
      try await service.json(
        "POST", "/sdapi/v1/txt2img", json: ["prompt": "a cat", "steps": 3])
    }
    var running: JSONObject = [:]
    for _ in 0..<2000 where running["current_image"]?.string == nil {
      try await Task.sleep(for: .milliseconds(5))
      running = try #require(try await service.json("GET", "/sdapi/v1/progress").value.object)
    }
    // One step of three, and the decoder.
    #expect(running["progress"]?.number == 0.25)
    let state = try #require(running["state"]?.object)
    #expect(state["sampling_step"]?.integer == 1 && state["sampling_steps"]?.integer == 3)
    let text = try #require(running["current_image"]?.string)
    let image = try #require(Data(base64Encoded: text))
    #expect(try Image(png: [UInt8](image), location: "answer").width == 2)
    let without = try await service.json("GET", "/sdapi/v1/progress?skip_current_image=true").value
    #expect(without.object?["current_image"]?.isNull == true)
    let (status, value) = try await service.json("POST", "/sdapi/v1/interrupt")
    #expect(status == .ok && value == [:])
    let answer = try await request.value
    #expect(answer.status == .conflict)
    #expect(answer.value.object?["detail"]?.string == "the job was cancelled")
    #expect(try await service.send("POST", "/sdapi/v1/interrupt").status == .ok)
  }

  // MARK: - OpenAI

  @Test func imagesAreGeneratedAsOpenAIDoes() async throws {
    let service = try Service()
    let (status, value) = try await service.json(
      "POST", "/v1/images/generations",
      json: [
        "model": "small", "prompt": "a cat", "n": 2, "size": "256x256", "seed": 5,
        "response_format": "b64_json", "quality": "hd",
      ])
    #expect(status == .ok)
    let data = try #require(value.object?["data"]?.array)
    let text = try #require(data[1].object?["b64_json"]?.string)
    let png = try #require(Data(base64Encoded: text))
    let image = try Image(png: [UInt8](png), location: "answer")
    #expect(image.width == 256 && image.pixels[0] == 16)
    #expect((value.object?["created"]?.integer ?? 0) > 1_700_000_000)
  }

  @Test func imagesHaveAddresses() async throws {
    let service = try Service()
    let (_, value) = try await service.json(
      "POST", "/v1/images/generations", json: ["prompt": "a cat", "response_format": "url"])
    let data = try #require(value.object?["data"]?.array)
    let url = try #require(data[0].object?["url"]?.string)
    let prefix = "http://localhost:7860"
    #expect(url.hasPrefix(prefix + "/api/jobs/"))
    let response = try await service.send("GET", String(url.dropFirst(prefix.count)))
    #expect(response.status == .ok && response.headers["content-type"] == "image/png")
  }

  @Test func openAIsErrorsHaveItsShape() async throws {
    let service = try Service()
    let (status, value) = try await service.json(
      "POST", "/v1/images/generations", json: ["prompt": "a cat", "n": 99])
    #expect(status == .unprocessable)
    let error = try #require(value.object?["error"]?.object)
    #expect(error["message"]?.string == "n is 99, expected a whole number from 1 to 8")
    #expect(error["type"]?.string == "invalid_request_error" && error["param"]?.string == "n")
    let unknown = try await service.json("GET", "/v1/models/gpt")
    #expect(unknown.status == .notFound)
    #expect(unknown.value.object?["error"]?.object?["code"]?.isNull == true)
    let model = try await service.json("GET", "/v1/models/small").value.object
    #expect(model?["object"]?.string == "model" && model?["id"]?.string == "small")
    let list = try await service.json("GET", "/v1/models").value.object
    #expect(list?["data"]?.array?.count == 2)
  }

  // MARK: - OpenAPI

  /// The document has every route, and each route answers at the place that the document states.
  @Test func theDocumentDescribesEveryRoute() async throws {
    let service = try Service()
    let (status, value) = try await service.json("GET", "/openapi.json")
    #expect(status == .ok)
    let document = try #require(value.object)
    #expect(document["openapi"]?.string == "3.1.0")
    let paths = try #require(document["paths"]?.object)
    var names: Set<String> = []
    var count = 0
    for (path, item) in paths.members {
      for (method, operation) in item.object?.members ?? [] {
        count += 1
        let object = try #require(operation.object)
        names.insert(try #require(object["operationId"]?.string))
        #expect(object["summary"]?.string?.hasSuffix(".") == true)
        #expect(object["responses"]?.object?["default"] != nil)
        let stated = path.matches(of: #/\{(\w+)\}/#).map { String($0.1) }
        let parameters = object["parameters"]?.array?.compactMap(\.object) ?? []
        let inPath = parameters.filter { $0["in"]?.string == "path" }
        #expect(Set(inPath.compactMap { $0["name"]?.string }) == Set(stated), "\(path)")
        let target = path.replacing(#/\{\w+\}/#, with: "x")
        let answer = try await service.send(method.uppercased(), target)
        #expect(answer.status != .methodNotAllowed, "\(method) \(path)")
        // A body is needed where one is described.
        let needsBody = object["requestBody"] != nil
        #expect((answer.status == .unsupportedMediaType) == needsBody, "\(method) \(path)")
      }
    }
    #expect(names.count == count && count >= 20)
    let token = try await Service(token: "x").json("GET", "/openapi.json").value.object
    #expect(token?["components"]?.object?["securitySchemes"] != nil)
  }
}
