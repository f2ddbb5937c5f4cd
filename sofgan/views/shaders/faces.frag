#version 330 core
// Which triangle covers this pixel: its number plus one, so that 0 is "none".
out uint face;

void main()
{
    face = uint(gl_PrimitiveID) + 1u;
}
