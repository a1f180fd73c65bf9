private import Foundation

/// Text that the system gives to a process, and which need not be UTF-8. Swift's strings would replace
/// its other bytes, and name another file.
package enum ProcessArguments {
  /// The first argument that is not UTF-8 text, with its bytes beyond ASCII as `\xff`; `nil` where all
  /// are UTF-8.
  package static var firstNotUTF8: String? {
    for index in 0..<Int(CommandLine.argc) {
      guard let argument = CommandLine.unsafeArgv[index] else { continue }
      if String(validatingCString: argument) == nil { return escaped(argument) }
    }
    return nil
  }

  /// The working folder, where its path is not UTF-8 text, with its bytes beyond ASCII as `\xff`.
  package static var workingFolderNotUTF8: String? {
    guard let folder = getcwd(nil, 0) else { return nil }
    defer { free(folder) }
    return String(validatingCString: folder) == nil ? escaped(folder) : nil
  }

  private static func escaped(_ text: UnsafePointer<CChar>) -> String {
    var result = ""
    for index in 0..<strlen(text) {
      let byte = UInt8(bitPattern: text[index])
      result +=
        byte < 0x80 ? String(UnicodeScalar(byte)) : "\\x" + hexadecimalText(byte)
    }
    return result
  }
}
