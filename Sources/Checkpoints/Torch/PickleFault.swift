import Support

/// Why a pickle is not read.
enum PickleFault: Error, Equatable, CustomStringConvertible {
  case ends
  case beyondEnd(bytes: UInt64, available: Int)
  case unknownByte(UInt8)
  case unreadableOpcode(String)
  case newerProtocol(Int)
  case tooManyOpcodes(limit: Int)
  case longName(limit: Int)
  case notUTF8
  case emptyStack(String)
  case noMark(String)
  case noMemo(UInt64)
  /// An opcode that found something else on the stack than it takes.
  case wrongOperand(String, found: String, expected: String)
  case leftOnStack(Int)
  /// A name that only a file meant to do harm asks for.
  case runsCode(String)
  case unknownTensor(String)
  case wrongArguments(String, expected: String)
  case wrongStorage(String)
  case unknownNumbers(String)

  var description: String {
    switch self {
    case .ends: "the pickle ends too early; the file is incomplete"
    case .beyondEnd(let bytes, let available):
      "\(bytes) bytes are announced, only \(available) follow; the file is incomplete or damaged"
    case .unknownByte(let byte):
      "byte 0x\(hexadecimalText(byte)), which is no opcode of a pickle; the file is damaged"
    case .unreadableOpcode(let name):
      "opcode \(name), which PyTorch never writes and Decant does not read"
    case .newerProtocol(let version):
      "protocol \(version) of Python's pickles, readable are 0 to 5"
    case .tooManyOpcodes(let limit):
      "more than \(limit) opcodes, which no checkpoint needs; the file is damaged, or made to "
        + "exhaust memory"
    case .longName(let limit):
      "a name of more than \(limit) bytes; the file is damaged"
    case .notUTF8: "a text that is not UTF-8; the file is damaged"
    case .emptyStack(let opcode): "opcode \(opcode) finds nothing to work on; the file is damaged"
    case .noMark(let opcode): "opcode \(opcode) finds no mark; the file is damaged"
    case .noMemo(let index):
      "entry \(index) of the memo is asked for and was never written; "
        + "the file is damaged"
    case .wrongOperand(let opcode, let found, let expected):
      "opcode \(opcode) finds \(found), expected \(expected)"
    case .leftOnStack(let count): "\(count) values at its end, 1 is expected; the file is damaged"
    case .runsCode(let name):
      "the file asks for '\(shown(name))', which would run code on the machine of whoever loads it "
        + "with Python; no checkpoint needs that, and nothing was run: delete the file, and get the "
        + "model as safetensors"
    case .unknownTensor(let name):
      "a tensor made by '\(shown(name))', which is not read (sparse, quantized and nested tensors "
        + "are not); save plain tensors"
    case .wrongArguments(let name, let expected):
      "'\(shown(name))' is not given \(expected); the file is damaged"
    case .unknownNumbers(let name):
      "numbers of '\(shown(name))', which are not read (quantized ones and complex doubles are not); "
        + "save plain tensors"
    case .wrongStorage(let found):
      "a storage that is \(found); the file is damaged"
    }
  }
}

/// A fault, and where in the file it was found.
struct PickleError: Error, Equatable {
  let offset: Int
  let fault: PickleFault
}
