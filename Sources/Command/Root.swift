@main struct Root { static func main() {} }
