// The component is what is exported below exports; a program of Go's has a main function all the same.
package main

import _ "local/{{name}}/exports/wit_exports"

func main() {}
