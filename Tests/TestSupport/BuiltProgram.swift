private import Foundation

/// The path of the built program. It lies in the folder of the test bundle and has the name of the
/// product, or of the target in a package without products.
package let builtProgram: String? = {
  var places =
    [CommandLine.arguments[0]] + CommandLine.arguments.filter { $0.hasSuffix(".xctest") }
  places.append(Bundle.main.bundlePath + "/x")
  if let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
    places.append(path)
  }
  for place in places {
    let folder = URL(fileURLWithPath: place).deletingLastPathComponent()
    for name in ["decant", "Command"] {
      let path = folder.appendingPathComponent(name).path
      if FileManager.default.isExecutableFile(atPath: path) { return path }
    }
  }
  return nil
}()
