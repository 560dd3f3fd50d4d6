# Writes a C++ file in which FUNCTION() of namespace lockstep returns the text of a file.
# cmake -DINPUT=file -DOUTPUT=file.cpp -DFUNCTION=name -P embed.cmake
file(READ ${INPUT} text)
file(WRITE ${OUTPUT} "#include <string_view>\n\nnamespace lockstep {\n\nstd::string_view ${FUNCTION}();\n\nstd::string_view ${FUNCTION}() {\n  return R\"embedded(${text})embedded\";\n}\n\n}  // namespace lockstep\n")
