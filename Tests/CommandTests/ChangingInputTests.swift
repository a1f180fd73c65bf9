import Foundation
import TestSupport
import Testing

/// Inputs that change while Decant reads them.
@Suite struct ChangingInputTests {
  private static let weights = "model/unet/diffusion_pytorch_model.safetensors"

  /// Starts `generate` with a copy of the model, and calls `change` while it computes with weights
  /// of the mapped file.
  private func generate(changing change: (String) throws -> Void) throws -> Ending {
    try withTemporaryFolder { folder in
      try FileManager.default.copyItem(
        atPath: fixture("golden/pipeline"), toPath: folder + "/model")
      let running = try Decant.start(
        ["generate", "model", "-p", "x", "-o", "a.png", "--steps", "300", "-W", "64", "-H", "64"],
        in: folder)
      try running.waitFor("generating with model")
      try change(folder + "/" + Self.weights)
      let ending = try running.end()
      #expect(try names(folder) == ["model"])
      return ending
    }
  }

  /// Without a handler of the signal, the program would end with SIGBUS.
  @Test func aFileThatBecomesShorterIsNamed() throws {
    let ending = try generate { #expect(truncate($0, 10_000) == 0) }
    #expect(ending.code == 2)
    #expect(
      ending.errors.hasSuffix(
        "decant: \(Self.weights): the file became shorter while it was read: 10000 bytes, was 429112; try again when no other program writes to it\n"
      ), "\(ending.errors)")
  }

  @Test func aFileThatIsWrittenToIsNamed() throws {
    let ending = try generate { path in
      let file = try #require(FileHandle(forWritingAtPath: path))
      try file.seek(toOffset: 400_000)
      try file.write(contentsOf: Data([1, 2, 3, 4]))
      try file.close()
    }
    #expect(ending.code == 2)
    #expect(
      ending.errors.hasSuffix(
        "decant: \(Self.weights): the file was changed while it was read; try again when no other program writes to it\n"
      ), "\(ending.errors)")
  }

  /// Other causes of the signal end the program.
  @Test func aSignalFromOutsideEndsTheProgram() throws {
    try withModel { folder in
      let running = try Decant.start(
        ["generate", "model", "-p", "x", "-o", "a.png", "--steps", "900"], in: folder,
        environment: ["SWIFT_BACKTRACE": "enable=no"])
      try running.waitFor("generating with model")
      kill(running.process.processIdentifier, SIGBUS)
      _ = try running.end()
      #expect(running.process.terminationReason == .uncaughtSignal)
      #expect(running.process.terminationStatus == SIGBUS)
    }
  }
}
