import Execution
import Models
import Synchronization
import Tensors
import Testing

/// A cancelled task ends within one layer, not within one block.
@Suite struct CancellationTests {
  /// Lists the layers that run, and cancels the task in one of them.
  private final class Canceller: ActivationObserver {
    private let target: String?
    private let seen = Mutex<[String]>([])

    var names: [String] { seen.withLock { $0 } }

    init(at target: String?) { self.target = target }

    func willRun(module name: String, input: Tensor) {
      seen.withLock { $0.append(name) }
      if name == target { withUnsafeCurrentTask { $0?.cancel() } }
    }
  }

  private func expectCancellation(
    of run: @escaping @Sendable (any ActivationObserver) throws -> Void
  ) async throws {
    let whole = Canceller(at: nil)
    try run(whole)
    let names = whole.names
    #expect(names.count > 5)
    // Every third layer keeps the test short. No layer follows the last one.
    for index in stride(from: 0, to: names.count - 1, by: 3) {
      let canceller = Canceller(at: names[index])
      let task = Task { try run(canceller) }
      await #expect(throws: CancellationError.self, "\(names[index])") { try await task.value }
      #expect(canceller.names == Array(names.prefix(index + 1)), "\(names[index])")
    }
  }

  @Test func ofTheUNet() async throws {
    let golden = try Golden("unet-sd1")
    let unet = try UNet(
      config: UNetConfig(json: golden.config, location: golden.location), weights: golden.weights)
    let (sample, text) = (try golden.input("sample"), try golden.input("encoder_hidden_states"))
    let timesteps = try golden.input("timestep").values
    try await expectCancellation { observer in
      _ = try unet(
        sample: sample, timesteps: timesteps, encoderHiddenStates: text, observer: observer)
    }
  }

  @Test func ofTheAutoencoder() async throws {
    let golden = try Golden("vae")
    let config = try VAEConfig(json: golden.config, location: golden.location)
    let decoder = try VAEDecoder(config: config, weights: golden.weights)
    let latent = try golden.input("latent")
    try await expectCancellation { _ = try decoder.decode(latent, observer: $0) }
    let encoder = try VAEEncoder(config: config, weights: golden.weights)
    let image = try golden.input("image")
    try await expectCancellation { _ = try encoder.encode(image, observer: $0) }
  }

  @Test func ofTheTextEncoder() async throws {
    let golden = try Golden("text-clip")
    let encoder = try TextEncoder(
      config: TextEncoderConfig(
        json: golden.config, location: golden.location, className: golden.className),
      weights: golden.weights)
    try await expectCancellation { _ = try encoder(inputIDs: [[1, 2, 3]], observer: $0) }
  }
}
