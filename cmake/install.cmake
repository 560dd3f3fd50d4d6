# What `cmake --install` puts where: the binary, the library with its public headers and CMake package, the configurations. All of
# it may be moved afterwards.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Every static library of ours that `target` is linked with, itself included.
function(lockstep_closure target result)
  set(all ${target})
  get_target_property(links ${target} LINK_LIBRARIES)
  foreach(link ${links})
    if(link MATCHES "^lockstep_" AND TARGET ${link})
      lockstep_closure(${link} below)
      list(APPEND all ${below})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES all)
  set(${result} ${all} PARENT_SCOPE)
endfunction()

lockstep_closure(lockstep_llm library_targets)
foreach(target ${library_targets})
  string(REPLACE lockstep_ "" name ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
endforeach()
set_target_properties(lockstep_llm PROPERTIES EXPORT_NAME lockstep)
target_include_directories(lockstep_llm INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(lockstep_llm INTERFACE cxx_std_20)
add_library(lockstep::lockstep ALIAS lockstep_llm)

install(TARGETS lockstep RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS ${library_targets} EXPORT lockstep ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/lockstep)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/lockstep)
install(EXPORT lockstep NAMESPACE lockstep:: FILE lockstep-targets.cmake DESTINATION ${package})
configure_package_config_file(cmake/lockstep-config.cmake.in ${CMAKE_BINARY_DIR}/cmake/lockstep-config.cmake INSTALL_DESTINATION ${package}
  NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/cmake/lockstep-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/cmake/lockstep-config.cmake ${CMAKE_BINARY_DIR}/cmake/lockstep-config-version.cmake DESTINATION ${package})

# <lockstep/llm.h> and what it includes, by the same paths as in src/.
install(FILES src/llm/llm.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lockstep)
foreach(header base/exception.h config/options.h engine/outcome.h text/chat_message.h)
  get_filename_component(folder ${header} DIRECTORY)
  install(FILES src/${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lockstep/${folder})
endforeach()
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/lockstep)
