// temporary: keeps the library non-empty until its first real file; delete it then
