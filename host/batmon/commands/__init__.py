"""The commands of `batmon`, a file each: arguments, what is said, and a call into another room."""
