# Headers only.
if(NOT TARGET tomlplusplus::tomlplusplus)
    add_library(tomlplusplus::tomlplusplus INTERFACE IMPORTED)
    target_include_directories(tomlplusplus::tomlplusplus SYSTEM INTERFACE ${POME_CROSS}/include)
endif()
set(tomlplusplus_FOUND TRUE)
