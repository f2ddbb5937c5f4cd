#version 330 core
layout(location = 0) in vec3 position;

uniform mat4 V;
uniform mat4 P;

// The triangle's number plus one; 0 is "none". Triangles don't share corners.
flat out uint number;

void main()
{
    number = uint(gl_VertexID) / 3u + 1u;
    gl_Position = P * V * vec4(position, 1.0);
}
