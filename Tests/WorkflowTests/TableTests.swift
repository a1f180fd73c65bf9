import Testing
import Workflow

@Suite struct TableTests {
  @Test func columnsAreAligned() {
    #expect(
      table([["name", "bytes"], ["a", "12"], ["longer", "1"]], rightAligned: [1])
        == "name    bytes\na          12\nlonger      1")
    #expect(table([]) == "")
    #expect(table([["a"], ["b", "c"]]) == "a\nb  c")
  }

  @Test func longNamesContinueOnFurtherLines() {
    let rows = [["model", "size"], ["a-long-file-name.safetensors", "12 MB"]]
    #expect(
      table(rows, rightAligned: [1], width: 20)
        == "model           size\na-long-file-   12 MB\nname.safetens\nors")
    #expect(table(rows, rightAligned: [1], width: 80) == table(rows, rightAligned: [1]))
    // The first column keeps 8 characters.
    #expect(
      table(rows, width: 5)
        == "model     size\na-long-   12 MB\nfile-\nname.\nsafetens\nors")
    #expect(table([], width: 80) == "")
  }
}
