import Foundation
import TestSupport
import Testing

/// What the generated bash script offers for the words of a command line.
@Suite struct CompletionTests {
  /// The words that bash offers at the end of `line`.
  private func completions(of line: String, in folder: String) throws -> [String] {
    let generated = try expectDecant(["--generate-completion-script", "bash"], in: folder)
    try generated.output.write(
      toFile: folder + "/completion.bash", atomically: true, encoding: .utf8)
    let script = """
      source completion.bash
      read -ra COMP_WORDS <<< "$1"
      [[ "$1" == *' ' ]] && COMP_WORDS+=('')
      COMP_LINE="$1" COMP_POINT=${#1} COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
      _decant decant "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
      printf '%s\\n' "${COMPREPLY[@]}"
      """
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.arguments = ["-c", script, "bash", line]
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let said = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: said, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  @Test(arguments: [
    ("convert sour", ["source.safetensors"]),
    ("convert source.safetensors -o sour", ["source.safetensors"]),
    ("verify source.safetensors sour", ["source.safetensors"]),
    ("generate a b sour", ["source.safetensors"]),
    ("convert a --vae sour", ["source.safetensors"]),
    ("quantize a --calibration sour", ["source.safetensors"]),
    ("generate a -p x --init-image p", ["picture.png"]),
    ("convert a --type ", ["f32", "f16", "bf16"]),
    ("quantize a --type int4", ["int4-g32", "int4-g64"]),
    ("quantize a -t int4", ["int4-g32", "int4-g64"]),
    ("quantize a -t q", ["q6_k", "q5_k", "q4_k"]),
    ("quantize a -t int5", ["int5", "int5-g32"]), ("quantize a -t int6", ["int6"]),
    ("quantize a -t int16", ["int16"]),
    ("quantize a --rest-type b", ["bf16"]), ("quantize a --method ", ["round", "mse", "gptq"]),
    ("generate a --scheduler euler", ["euler", "euler-a"]), ("generate a --sampler dd", ["ddim"]),
    ("verify a b --scheduler pn", ["pndm"]), ("verify a b --effort th", ["thorough"]),
    ("strip a --recipe bk-sdm-v2", ["bk-sdm-v2-base", "bk-sdm-v2-small", "bk-sdm-v2-tiny"]),
    ("synthesize --family koala", ["koala-700m", "koala-1b"]),
    ("serve --family koala", ["koala-700m", "koala-1b"]), ("serve a --compute i", ["int8"]),
    ("bench --family koala", ["koala-700m", "koala-1b"]), ("convert a --to g", ["gguf"]),
    ("convert a --for com", ["comfyui"]), ("convert a --numbering ", ["dense", "gap"]),
    ("forward a --component text", ["text-encoder", "text-encoder-2"]),
    ("extract a --component clip", ["clip-l", "clip-g"]),
    ("quantize a --text-encoder-type int4", ["int4-g32", "int4-g64"]),
    ("generate a --compute i", ["int8"]), ("bench a --compute i", ["int8"]),
    ("verify a b --reference-compute i", ["int8"]),
    ("generate a --prediction v", ["v_prediction"]), ("generate a --streng", ["--strength"]),
  ])
  func bashOffers(line: String, expected: [String]) throws {
    try withTemporaryFolder { folder in
      for name in ["source.safetensors", "picture.png", "picture.txt"] {
        try Data().write(to: URL(fileURLWithPath: folder + "/" + name))
      }
      let offered = try completions(of: "decant " + line, in: folder)
      #expect(offered.sorted() == expected.sorted(), "\(line)")
    }
  }
}
