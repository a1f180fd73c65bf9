import Foundation
import Sampling
import Studio
import Support
import Synchronization
import Testing
import Workflow

/// Decant's own API, and what all routes share.
@Suite struct RouteTests {
  @Test func thePageHasItsStyleAndScriptInsideAndAllowsNothingElse() async throws {
    let response = try await Service().send("GET", "/")
    #expect(response.status == .ok)
    #expect(response.headers["content-type"] == "text/html; charset=utf-8")
    let html = String(decoding: response.bytes, as: UTF8.self)
    #expect(html.hasPrefix("<!DOCTYPE html>"))
    #expect(!html.contains("<style></style>") && !html.contains("<script></script>"))
    for word in ["http://", "https://", "//cdn", "@import", "url("] {
      #expect(!html.contains(word), "the page has '\(word)'")
    }
    let policy = try #require(response.headers["content-security-policy"])
    #expect(policy.hasPrefix("default-src 'none'; style-src 'sha256-"))
    #expect(!policy.contains("unsafe"))
    let script = try #require(html.firstRange(of: "<script>")).upperBound
    let end = try #require(html.range(of: "</script>", options: .backwards)).lowerBound
    let digest = Data(SHA256.digest(of: [UInt8](html[script..<end].utf8))).base64EncodedString()
    #expect(policy.contains("script-src 'sha256-\(digest)'"))
  }

  @Test func theServerStatesModelsSchedulersAndLimits() async throws {
    let (status, value) = try await Service().json("GET", "/api/server")
    #expect(status == .ok)
    let object = try #require(value.object)
    let models = try #require(object["models"]?.array)
    #expect(models.map { $0.object?["name"]?.string } == ["full", "small"])
    #expect(object["schedulers"]?.array?.count == Schedulers.all.count)
    #expect(object["version"]?.string == toolVersion)
    #expect(object["limits"]?.object?["side"]?.integer == 1024)
  }

  @Test func aModelIsDescribed() async throws {
    let service = try Service()
    let (status, value) = try await service.json("GET", "/api/models/small")
    #expect(status == .ok)
    #expect(value.object?["description"]?.object?["family"]?.string == "sd-v1-4")
    let unknown = try await service.send("GET", "/api/models/smal")
    #expect(unknown.status == .notFound)
    #expect(
      unknown.reason == "the model smal is unknown (did you mean 'small'?); expected full or small")
  }

  @Test func aJobMakesImagesFromConsecutiveSeeds() async throws {
    let service = try Service()
    let job = try await service.finished([
      "prompt": "a <b>cat</b>", "negative_prompt": "rain", "seed": 40, "count": 2, "steps": 2,
      "scheduler": "ddim", "guidance_scale": 3, "width": 24, "height": 8,
    ])
    #expect(job["state"]?.string == "done")
    #expect(job["notes"]?.array == ["the prompt is short"])
    let results = try #require(job["results"]?.array)
    let result = try #require(results.first?.object)
    #expect(results.count == 1 && result["model"]?.string == "full")
    let images = try #require(result["images"]?.array)
    #expect(images.map { $0.object?["seed"]?.string } == ["40", "41"])
    let requests = service.generators[0].requests.withLock { $0 }
    #expect(requests.map(\.seed) == [40, 41] && requests.map(\.count) == [1, 1])
    #expect(requests.map(\.prompts) == [["a <b>cat</b>"], ["a <b>cat</b>"]])
    #expect(requests[0].negativePrompt == "rain" && requests[0].scheduler == "ddim")
    #expect(requests[0].steps == 2 && requests[0].guidanceScale == 3)
    #expect(requests[0].width == 24 && requests[0].height == 8)
    let url = try #require(images[1].object?["url"]?.string)
    let response = try await service.send("GET", url)
    #expect(response.headers["content-type"] == "image/png")
    let image = try Image(png: response.bytes, location: "answer")
    #expect(image == Image(width: 24, height: 8, red: 41, green: 41, blue: 41))
    let texts = try PNGChunks.texts(response.bytes, location: "answer")
    #expect(texts.map(\.keyword) == ["parameters"])
    #expect(GenerationParameters(text: texts[0].text)?.seed == 41)
    #expect(images[1].object?["parameters"]?.string == texts[0].text)
  }

  @Test func defaultsAreTheModels() async throws {
    let service = try Service()
    let job = try await service.finished(["prompt": "a cat"])
    let requests = service.generators[0].requests.withLock { $0 }
    let request = try #require(requests.first)
    #expect(request.steps == 3 && request.guidanceScale == 7.5 && request.scheduler == "euler")
    #expect(request.width == 16 && request.height == 16 && request.negativePrompt == nil)
    #expect(request.seed <= UInt64(UInt32.max))
    let settings = try #require(job["settings"]?.object)
    #expect(settings["seed"]?.integer == Int(request.seed))
    #expect(settings["models"]?.array == ["full"])
  }

  @Test func modelsAreCompared() async throws {
    let service = try Service()
    let job = try await service.finished([
      "prompt": "a cat", "models": ["full", "small"], "seed": 100, "count": 2,
    ])
    let results = (job["results"]?.array ?? []).compactMap(\.object)
    #expect(results.map { $0["model"]?.string } == ["full", "small"])
    let first = try #require(results[0]["images"]?.array?.first?.object)
    #expect(first["comparison"] == nil)
    let second = try #require(results[1]["images"]?.array?.last?.object)
    let comparison = try #require(second["comparison"]?.object)
    #expect(comparison["identical"]?.bool == false)
    // All levels differ by 10.
    let psnr = try #require(comparison["psnr"]?.number)
    #expect(abs(psnr - 28.1308) < 1e-3, "\(psnr)")
    #expect(comparison["largest_difference"]?.number == 10)
    #expect(results[1]["file_bytes"]?.integer == 5000)
    #expect((results[1]["seconds_per_step"]?.number ?? -1) >= 0)
    #expect((results[1]["peak_bytes"]?.integer ?? 0) > 0)
    // Images are numbered over all models.
    #expect(second["url"]?.string?.hasSuffix("/images/3.png") == true)
    let url = try #require(comparison["difference_url"]?.string)
    let difference = try await service.send("GET", url)
    #expect(try Image(png: difference.bytes, location: "answer").pixels.allSatisfy { $0 == 80 })
    // One model is loaded at a time.
    #expect(service.generators[0].unloads.withLock { $0 } == 1)
    #expect(service.generators[1].unloads.withLock { $0 } == 0)
  }

  @Test func anImageIsTheStart() async throws {
    let service = try Service()
    let image = Image(width: 8, height: 8, red: 9, green: 8, blue: 7)
    let mask = Image(width: 8, height: 8, red: 255, green: 255, blue: 255)
    let text = Data(try image.png()).base64EncodedString()
    _ = try await service.finished([
      "prompt": "a cat", "init_image": .string("data:image/png;base64," + text),
      "mask": .string(Data(try mask.png()).base64EncodedString()), "strength": 0.5,
    ])
    let requests = service.generators[0].requests.withLock { $0 }
    let request = try #require(requests.first)
    #expect(request.initImage == image && request.mask == mask && request.strength == 0.5)
  }

  @Test func measurementsAreAJob() async throws {
    let job = try await Service().finished(["models": ["small"], "steps": 2], at: "/api/bench")
    #expect(job["kind"]?.string == "bench" && job["state"]?.string == "done")
    let bench = try #require(job["bench"]?.object)
    #expect(bench["models"]?.array == [1])
    #expect(job["settings"]?.object?["models"]?.array == ["small"])
  }

  @Test func jobsAreListedAndRemoved() async throws {
    let service = try Service()
    let first = try await service.finished(["prompt": "one"])
    let second = try await service.finished(["prompt": "two"])
    let ids = try [first, second].map { try #require($0["id"]?.string) }
    func listed() async throws -> [String?] {
      let jobs = try await service.json("GET", "/api/jobs").value.object?["jobs"]?.array ?? []
      return jobs.map { $0.object?["id"]?.string }
    }
    #expect(try await listed() == [ids[1], ids[0]])
    let removal = try await service.send("DELETE", "/api/jobs/\(ids[0])")
    #expect(removal.status == .noContent && removal.bytes.isEmpty)
    #expect(try await listed() == [ids[1]])
    for target in ["/api/jobs/\(ids[0])", "/api/jobs/\(ids[0])/events", "/api/jobs/x/images/0.png"]
    {
      let response = try await service.send("GET", target)
      #expect(response.status == .notFound, "\(target)")
    }
    let again = try await service.send("DELETE", "/api/jobs/\(ids[0])")
    #expect(again.status == .notFound && again.reason == "there is no job \(ids[0])")
    for name in ["1.png", "0", "x.png", "-1.png", "0-difference.png", ".png"] {
      let response = try await service.send("GET", "/api/jobs/\(ids[1])/images/\(name)")
      #expect(response.status == .notFound, "\(name)")
    }
  }

  @Test func aFailureOfTheModelIsStated() async throws {
    let service = try Service([FakeGenerator(failure: JobError("the weights are damaged"))])
    let job = try await service.finished(["prompt": "a cat"])
    #expect(job["state"]?.string == "failed")
    #expect(job["error"]?.object?["reason"]?.string == "the weights are damaged")
  }

  // MARK: - Refusals

  struct Refusal: Sendable, CustomTestStringConvertible {
    let body: JSONValue
    let reason: String
    var testDescription: String { reason }
  }

  static let refusals: [Refusal] = [
    Refusal(body: [:], reason: "prompt is missing"),
    Refusal(body: ["prompt": 3], reason: "prompt is 3, expected a text of at most 4000 characters"),
    Refusal(
      body: ["prompt": "a", "step": 3], reason: "step is unknown (did you mean 'steps'?)"),
    Refusal(
      body: ["prompt": "a", "steps": 0], reason: "steps is 0, expected a whole number from 1 to 150"
    ),
    Refusal(
      body: ["prompt": "a", "steps": 2.5],
      reason: "steps is 2.5, expected a whole number from 1 to 150"),
    Refusal(
      body: ["prompt": "a", "width": 20],
      reason: "width is 20, expected a multiple of 8 from 8 to 1024"),
    Refusal(
      body: ["prompt": "a", "height": 2048],
      reason: "height is 2048, expected a multiple of 8 from 8 to 1024"),
    Refusal(
      body: ["prompt": "a", "count": 9], reason: "count is 9, expected a whole number from 1 to 8"),
    Refusal(
      body: ["prompt": "a", "models": ["other"]],
      reason: #"models[0] is "other", expected "full" or "small""#),
    Refusal(
      body: ["prompt": "a", "models": ["full", "full"]], reason: "the model full is named twice"),
    Refusal(
      body: ["prompt": "a", "strength": 0.5],
      reason: "a strength is given without an initial image"),
    Refusal(
      body: ["prompt": "a", "init_image": "?"], reason: "init_image is not in base64"),
    Refusal(
      body: ["prompt": "a", "init_image": "aGVsbG8="],
      reason: "init_image is not a PNG file: it does not begin with the PNG signature"),
    Refusal(
      body: ["prompt": "a", "guidance_scale": 1000],
      reason: "guidance_scale is 1000, expected a number from 0 to 100"),
  ]

  @Test(arguments: refusals)
  func settingsAreRefused(refusal: Refusal) async throws {
    let service = try Service()
    let response = try await service.send("POST", "/api/generate", json: refusal.body)
    #expect(response.status == .unprocessable)
    #expect(response.reason == refusal.reason)
    #expect(service.generators[0].requests.withLock { $0.isEmpty })
  }

  @Test func anImageOfTooManyPixelsIsRefusedBeforeItIsRead() async throws {
    var limits = StudioLimits()
    limits.imagePixels = 63
    let image = Image(width: 8, height: 8, red: 0, green: 0, blue: 0)
    let response = try await Service(limits: limits).send(
      "POST", "/api/generate",
      json: [
        "prompt": "a", "init_image": .string(Data(try image.png()).base64EncodedString()),
      ])
    #expect(response.status == .unprocessable)
    #expect(response.reason == "init_image: the image has 8x8 pixels; expected at most 63")
  }

  @Test func bodiesMustBeJSON() async throws {
    let service = try Service()
    let body = [UInt8](#"{"prompt": "a"}"#.utf8)
    let untyped = try await service.send("POST", "/api/generate", body: body)
    #expect(untyped.status == .unsupportedMediaType)
    let form = try await service.send(
      "POST", "/api/generate", body: body, headers: [("Content-Type", "text/plain")])
    #expect(form.reason == "the body is text/plain, expected application/json")
    let broken = try await service.send(
      "POST", "/api/generate", body: Array(body.dropLast()),
      headers: [("Content-Type", "application/json; charset=utf-8")])
    #expect(broken.status == .badRequest)
    #expect(broken.reason == "the body is not JSON: the text ends too early (at byte 14)")
    let list = try await service.send("POST", "/api/generate", json: [1])
    #expect(list.reason == "the body is [1], expected an object")
  }

  @Test func unknownPlacesAndMethodsAreRefused() async throws {
    let service = try Service()
    for target in ["/api", "/api/x", "/index.html", "/api/jobs/1/2/3/4", "/..%2Fetc/passwd"] {
      let response = try await service.send("GET", target)
      #expect(response.status == .notFound, "\(target)")
    }
    let wrong = try await service.send("PUT", "/api/jobs")
    #expect(wrong.status == .methodNotAllowed && wrong.headers["allow"] == "GET, HEAD")
    let both = try await service.send("POST", "/api/jobs/x")
    #expect(both.headers["allow"] == "GET, DELETE, HEAD")
    let escape = try await service.send("GET", "/api/%zz")
    #expect(escape.reason == "%zz: invalid percent-encoding")
    let query = try await service.send("GET", "/sdapi/v1/progress?x=1")
    #expect(query.status == .badRequest)
    let head = try await service.send("HEAD", "/api/server")
    #expect(head.status == .ok)
  }
}
